//! The addresses that clients use, as the status of an Ingress shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::pin::pin;
use std::str::FromStr;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::networking::v1::IngressLoadBalancerIngress;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::snapshot::ObjectName;
use crate::telemetry::chain;
use crate::watching::watching;

/// Where clients reach the proxies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    Ip(IpAddr),
    Hostname(String),
}

impl FromStr for Address {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let address = text.parse().map(Self::Ip);
        Ok(address.unwrap_or_else(|_| Self::Hostname(text.to_owned())))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Hostname(name) => f.write_str(name),
        }
    }
}

impl Address {
    pub fn of_ingress(shown: &IngressLoadBalancerIngress) -> Option<Self> {
        let address = shown.ip.as_ref().or(shown.hostname.as_ref())?;
        address.parse().ok()
    }
}

/// Where the addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    Fixed(Vec<Address>),
    /// The Service in front of the proxies.
    Service(ObjectName),
    /// The nodes that are ready.
    Nodes,
}

/// The addresses, sorted, from now on. None while nothing is known; what was known stays when its
/// source has gone, since an address that is shown for too long harms less than none.
pub fn addresses(client: Client, publish: Publish) -> watch::Receiver<Option<Vec<Address>>> {
    let known = match &publish {
        Publish::Fixed(fixed) => Some(sorted(fixed.iter().cloned())),
        _ => None,
    };
    let (sender, receiver) = watch::channel(known);
    match publish {
        Publish::Fixed(_) => {}
        Publish::Service(name) => {
            let config = watcher::Config::default().fields(&format!("metadata.name={}", name.name));
            let api: Api<Service> = Api::namespaced(client, &name.namespace);
            tokio::spawn(follow(api, config, of_service, sender));
        }
        Publish::Nodes => {
            let config = watcher::Config::default();
            tokio::spawn(follow(Api::<Node>::all(client), config, of_node, sender));
        }
    }
    receiver
}

/// Passes on the addresses of all objects of a watch, until nobody listens.
async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    addresses_of: fn(&K) -> Vec<Address>,
    sender: watch::Sender<Option<Vec<Address>>>,
) where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + fmt::Debug + Send + 'static,
{
    let name = |object: &K| object.meta().name.clone().unwrap_or_default();
    let mut known: BTreeMap<String, Vec<Address>> = BTreeMap::new();
    let mut listed = BTreeMap::new();
    let mut stream = pin!(watching(api, config));
    loop {
        let event = tokio::select! {
            () = sender.closed() => return,
            event = stream.next() => event,
        };
        match event {
            None => return,
            Some(Err(error)) => {
                tracing::warn!(error = %chain(&error), "watching addresses to show failed");
                continue;
            }
            Some(Ok(Event::Init)) => listed.clear(),
            Some(Ok(Event::InitApply(object))) => {
                listed.insert(name(&object), addresses_of(&object));
                continue;
            }
            Some(Ok(Event::InitDone)) => known = std::mem::take(&mut listed),
            Some(Ok(Event::Apply(object))) => {
                known.insert(name(&object), addresses_of(&object));
            }
            Some(Ok(Event::Delete(object))) => {
                known.remove(&name(&object));
            }
        }
        let now = sorted(known.values().flatten().cloned());
        sender.send_if_modified(|shown| {
            let differs = !now.is_empty() && shown.as_ref() != Some(&now);
            if differs {
                *shown = Some(now);
            }
            differs
        });
    }
}

fn sorted(addresses: impl Iterator<Item = Address>) -> Vec<Address> {
    addresses.collect::<BTreeSet<_>>().into_iter().collect()
}

/// As ingress-nginx reads it: what a load balancer gave, external addresses, else the cluster's own.
fn of_service(service: &Service) -> Vec<Address> {
    let Some(spec) = &service.spec else {
        return Vec::new();
    };
    let parse = |text: &String| text.parse().ok();
    let external = spec.external_ips.iter().flatten().filter_map(parse);
    let cluster_ip = spec.cluster_ip.iter().filter(|ip| *ip != "None");
    match spec.type_.as_deref() {
        Some("ExternalName") => spec.external_name.iter().filter_map(parse).collect(),
        Some("LoadBalancer") => {
            let balancer = service
                .status
                .as_ref()
                .and_then(|s| s.load_balancer.as_ref());
            let given = balancer
                .into_iter()
                .flat_map(|b| b.ingress.iter().flatten());
            let given = given.filter_map(|i| parse(i.ip.as_ref().or(i.hostname.as_ref())?));
            given.chain(external).collect()
        }
        Some("NodePort") => {
            let external: Vec<Address> = external.collect();
            match external.is_empty() {
                true => cluster_ip.filter_map(parse).collect(),
                false => external,
            }
        }
        _ => cluster_ip.filter_map(parse).collect(),
    }
}

/// External addresses, else internal ones, of a node that is ready and not about to go.
fn of_node(node: &Node) -> Vec<Address> {
    let Some(status) = &node.status else {
        return Vec::new();
    };
    let conditions = status.conditions.iter().flatten();
    let is_ready = conditions
        .into_iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    if !is_ready || node.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let of = |kind: &str| -> Vec<Address> {
        let all = status.addresses.iter().flatten();
        let such = all.filter(|address| address.type_ == kind);
        such.filter_map(|address| address.address.parse().ok())
            .collect()
    };
    let external = of("ExternalIP");
    match external.is_empty() {
        true => of("InternalIP"),
        false => external,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value, status: Value) -> String {
        let service = json!({"spec": spec, "status": status});
        let service = serde_json::from_value(service).expect("a Service");
        let addresses = of_service(&service);
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        shown.join(" ")
    }

    #[test]
    fn a_service_shows_what_clients_outside_would_use() {
        let given =
            json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "a.elb"}]}});
        let balancer =
            json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalIPs": ["5.6.7.8"]});
        assert_eq!(service(balancer, given), "1.2.3.4 a.elb 5.6.7.8");
        let waiting = json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"});
        assert_eq!(service(waiting, json!({})), "");
        let node_port =
            json!({"type": "NodePort", "clusterIP": "10.0.0.1", "externalIPs": ["5.6.7.8"]});
        assert_eq!(service(node_port, json!({})), "5.6.7.8");
        let node_port = json!({"type": "NodePort", "clusterIP": "10.0.0.1"});
        assert_eq!(service(node_port, json!({})), "10.0.0.1");
        assert_eq!(
            service(json!({"clusterIP": "10.0.0.1"}), json!({})),
            "10.0.0.1"
        );
        assert_eq!(service(json!({"clusterIP": "None"}), json!({})), "");
        let named = json!({"type": "ExternalName", "externalName": "edge.example.com"});
        assert_eq!(service(named, json!({})), "edge.example.com");
    }

    #[test]
    fn a_node_shows_its_external_address_while_it_is_ready() {
        let node = |ready: &str, addresses: Value| {
            let status = json!({
                "conditions": [{"type": "Ready", "status": ready}], "addresses": addresses,
            });
            let node = serde_json::from_value(json!({"status": status})).expect("a Node");
            of_node(&node)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        let internal = json!({"type": "InternalIP", "address": "10.0.0.1"});
        let external = json!({"type": "ExternalIP", "address": "1.2.3.4"});
        assert_eq!(node("True", json!([internal])), ["10.0.0.1"]);
        assert_eq!(node("True", json!([internal, external])), ["1.2.3.4"]);
        assert!(node("False", json!([internal])).is_empty());
    }
}
