//! Who may do no more than some roles let them: accounts, as our programs have them in a cluster.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::audit::{self, Asked};
use super::{Cluster, GLANCE, PATIENCE, keys};

const RBAC: &str = "rbac.authorization.k8s.io";

/// A ServiceAccount in the test's namespace.
pub struct Account {
    pub name: String,
    /// What the API server calls it.
    pub user: String,
    /// For programs that are to be this account, in the test's namespace.
    pub kubeconfig: PathBuf,
}

impl Account {
    pub async fn config(&self) -> Config {
        let file = Kubeconfig::read_from(&self.kubeconfig).expect("our own kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        config.expect("our own kubeconfig")
    }

    pub async fn client(&self) -> Client {
        Client::try_from(self.config().await).expect("a client")
    }
}

impl Cluster {
    /// Makes an account and brings manifests in, whose Roles and ClusterRoles are bound to it: a Role in
    /// its own namespace, a ClusterRole everywhere. Ends when the API server goes by them. ClusterRoles of
    /// one name are one in all tests, and must say the same.
    pub async fn account(&self, name: &str, manifests: &str) -> Account {
        let accounts: Api<ServiceAccount> = self.api();
        let made = json!({"metadata": {"name": name}});
        let made = serde_json::from_value(made).expect("an account");
        let created = accounts.create(&PostParams::default(), &made).await;
        drop(created.unwrap_or_else(|error| panic!("{name}: {error}")));
        let request = TokenRequest {
            spec: TokenRequestSpec::default(),
            ..TokenRequest::default()
        };
        let post = PostParams::default();
        let answer = accounts.create_token_request(name, &post, &request).await;
        let answer = answer.unwrap_or_else(|error| panic!("a token for {name}: {error}"));
        let token = answer.status.expect("a token").token;
        let account = Account {
            name: name.to_owned(),
            user: format!("system:serviceaccount:{}:{name}", self.namespace),
            kubeconfig: self.write_kubeconfig(name, &token),
        };
        self.grant(&account, manifests).await;
        account
    }

    /// Gives an account further roles.
    pub async fn grant(&self, account: &Account, manifests: &str) {
        for object in self.apply(manifests).await {
            let types = object.types.as_ref().expect("a kind");
            if types.kind == "Role" || types.kind == "ClusterRole" {
                let kind = types.kind.clone();
                self.bind(account, &kind, &object).await;
                self.until_allowed(account, &object).await;
            }
        }
    }

    /// What an account has asked the API server for until now. What is answered is told a moment later.
    pub fn requests_of(&self, account: &Account) -> Vec<Asked> {
        audit::requests_of(self.control_plane().directory(), &account.user)
    }

    fn write_kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        let directory = self.control_plane().directory();
        let server = self.control_plane().server();
        let mut config = keys::kubeconfig(directory, &server, name, token);
        config["contexts"][0]["context"]["namespace"] = json!(self.namespace);
        let file = directory.join(format!("{}-{name}.kubeconfig", self.namespace));
        fs::write(&file, config.to_string()).expect("a kubeconfig can be written");
        file
    }

    async fn bind(&self, account: &Account, kind: &str, role: &DynamicObject) {
        let role_name = role.metadata.name.as_deref().expect("a name");
        let name = format!("{}-{}-{role_name}", self.namespace, account.name);
        let subject = json!({
            "kind": "ServiceAccount", "name": account.name, "namespace": self.namespace,
        });
        let mut binding = json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": format!("{kind}Binding"),
            "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role_name},
            "subjects": [subject],
        });
        if let Some(namespace) = &role.metadata.namespace {
            binding["metadata"]["namespace"] = json!(namespace);
        }
        let applied = self.try_apply(&binding).await;
        applied.unwrap_or_else(|refusal| panic!("{name}: {}", refusal.message));
    }

    /// Roles and bindings come to the API server's mind a moment after they are stored.
    async fn until_allowed(&self, account: &Account, role: &DynamicObject) {
        let namespace = role.metadata.namespace.as_deref().unwrap_or_default();
        let rules = role.data["rules"].as_array().into_iter().flatten();
        for rule in rules.filter(|rule| rule["resources"].is_array()) {
            let first = |list: &str| rule[list][0].as_str().unwrap_or_default().to_owned();
            let resource = first("resources");
            let (resource, part) = resource.split_once('/').unwrap_or((&resource, ""));
            let review = json!({"spec": {
                "user": account.user,
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": {
                    "namespace": namespace,
                    "verb": first("verbs"),
                    "group": first("apiGroups"),
                    "resource": resource,
                    "subresource": part,
                    "name": first("resourceNames"),
                },
            }});
            self.until_reviewed(&review).await;
        }
    }

    async fn until_reviewed(&self, review: &Value) {
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let asked = serde_json::from_value(review.clone()).expect("a review");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = reviews.create(&PostParams::default(), &asked).await;
            let answer = answer.unwrap_or_else(|error| panic!("{error}"));
            if answer.status.is_some_and(|status| status.allowed) {
                return;
            }
            assert!(Instant::now() < deadline, "never allowed: {review}");
            sleep(GLANCE).await;
        }
    }
}
