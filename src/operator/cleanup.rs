//! What an installation leaves in other namespaces when it goes, and what takes that back: RouteHealths that
//! it made for Ingresses, and the addresses that Ingresses show. What lies in its own namespace is owned by
//! it, and goes by itself.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep};

use crate::api::route_health::RouteHealth;
use crate::api::{GENERATED_LABEL, INSTANCE_LABEL};
use crate::render::wire::Installation;
use crate::snapshot::ObjectName;

use super::lease;
use super::status::{manager, write};

/// Objects that are asked for at once.
const PAGE: u32 = 500;
/// Between two looks at the Lease.
const GLANCE: Duration = Duration::from_millis(500);

pub struct Cleanup {
    pub client: Client,
    /// That of the installation.
    pub namespace: String,
    pub installation: Installation,
    /// What its RouteHealths are labelled with.
    pub instance: String,
    /// Where it served; empty for everywhere.
    pub namespaces: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub route_healths: usize,
    pub addresses: usize,
}

impl Cleanup {
    /// Waits until no controller of the installation renews its Lease, and takes back what it left.
    pub async fn run(&self) -> kube::Result<Removed> {
        self.wait_for_controllers().await?;
        let mut removed = Removed::default();
        let everywhere = self.namespaces.is_empty().then_some(None);
        let named = self.namespaces.iter().map(|name| Some(name.as_str()));
        for namespace in named.chain(everywhere) {
            removed.route_healths += self.remove_route_healths(namespace).await?;
            removed.addresses += self.take_back_addresses(namespace).await?;
        }
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        match leases.delete(&self.lease(), &DeleteParams::default()).await {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(removed),
        }
    }

    fn lease(&self) -> String {
        lease::name(&self.installation)
    }

    async fn wait_for_controllers(&self) -> kube::Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut seen = None;
        loop {
            let spec = leases
                .get_opt(&self.lease())
                .await?
                .and_then(|lease| lease.spec);
            let holder = spec
                .as_ref()
                .and_then(|spec| spec.holder_identity.as_deref());
            if holder.is_none_or(str::is_empty) {
                return Ok(());
            }
            match &seen {
                Some((known, since)) if *known == spec => {
                    if Instant::now() > *since + lease::DURATION {
                        return Ok(());
                    }
                }
                _ => seen = Some((spec, Instant::now())),
            }
            sleep(GLANCE).await;
        }
    }

    fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    async fn remove_route_healths(&self, namespace: Option<&str>) -> kube::Result<usize> {
        let labels = format!("{GENERATED_LABEL},{INSTANCE_LABEL}={}", self.instance);
        let params = ListParams::default().labels(&labels);
        let ours = match self
            .api::<RouteHealth>(namespace)
            .list_metadata(&params)
            .await
        {
            // Without its definition there is none.
            Err(error) if is_gone(&error) => return Ok(0),
            listed => listed?.items,
        };
        let mut removed = 0;
        for health in ours {
            let of_namespace = health.namespace().unwrap_or_default();
            let api = self.api::<RouteHealth>(Some(&of_namespace));
            match api
                .delete(&health.name_any(), &DeleteParams::default())
                .await
            {
                Ok(_) => removed += 1,
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    async fn take_back_addresses(&self, namespace: Option<&str>) -> kube::Result<usize> {
        let manager = manager(&self.instance);
        let is_ours = |field: &ManagedFieldsEntry| {
            field.manager.as_deref() == Some(&manager)
                && field.subresource.as_deref() == Some("status")
        };
        let api = self.api::<Ingress>(namespace);
        let mut params = ListParams::default().limit(PAGE);
        let mut taken = 0;
        loop {
            let page = api.list_metadata(&params).await?;
            for ingress in &page.items {
                if !ingress.managed_fields().iter().any(is_ours) {
                    continue;
                }
                let of_namespace = ingress.namespace().unwrap_or_default();
                let name = ObjectName::new(of_namespace, ingress.name_any());
                match write::take_back(self.client.clone(), &manager, &name).await {
                    Ok(()) => taken += 1,
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(taken),
            }
        }
    }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
