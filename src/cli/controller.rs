//! `vigie controller`: the operator of a cluster.

mod pages;
mod routes;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, bail};
use clap::Args;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Client};

use super::GOOD;
use super::connect::{ConnectArgs, client, machine};
use super::lint::ProxyName;
use super::options::{BuildOptions, today};
use super::runtime::threads;
use super::signals::Signals;
use crate::operator::status::addresses::{Address, Publish};
use crate::operator::{Operator, Settings, status};
use crate::render::Placement;
use crate::render::bundle::ProxyKind;
use crate::render::wire::Installation;
use crate::server::serve;
use crate::snapshot::ObjectName;
use crate::source::cluster::{self, Namespaces};
use crate::source::stand_in::object_name;
use crate::telemetry::{self, LogFormat, Metrics};

/// Lists are streamed by default since Kubernetes 1.34.
const STREAMS_SINCE: u16 = 34;

#[derive(Debug, Args)]
pub struct ControllerArgs {
    #[command(flatten)]
    connect: ConnectArgs,

    /// The name of this installation, first in the names of all that it writes
    #[arg(long, value_name = "NAME", default_value = "vigie")]
    installation: Installation,

    /// Our own namespace, where configuration is published; default: that of the pod or the context
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The name of this process among its replicas; default: the name of the machine
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    identity: Option<String>,

    /// The proxies to publish for (repeatable)
    #[arg(long = "proxy", value_name = "PROXY", default_value = "nginx")]
    proxies: Vec<ProxyName>,

    /// Lead without asking: only where there is one replica
    #[arg(long)]
    no_leader_election: bool,

    /// Watch these namespaces alone, with rights in these only (repeatable)
    #[arg(long = "namespaces", value_name = "NAMESPACE", value_delimiter = ',')]
    namespaces: Vec<String>,

    /// See only Ingresses of namespaces with these labels, as team=shop
    #[arg(long, value_name = "LABELS", conflicts_with = "namespaces")]
    namespace_selector: Option<String>,

    /// The ConfigMap whose settings go before the flags of the same names; its changes take hold at
    /// once
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = config_map)]
    config_map: Option<ObjectName>,

    /// Ask for lists as streams, which spares the API server memory (Kubernetes 1.34 or newer)
    #[arg(long)]
    streaming_lists: bool,

    /// The port that proxies accept http on
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    http_port: u16,

    /// The port that proxies accept https on
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    https_port: u16,

    /// The port that clients know https by, where a redirect must name it
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    public_https_port: u16,

    /// Have proxies listen on IPv6 too
    #[arg(long)]
    ipv6: bool,

    /// The ConfigMap of our namespace that owns all that is published, so that it goes with it
    #[arg(long, value_name = "NAME")]
    anchor: Option<String>,

    /// Show the addresses of this Service at our Ingresses
    #[arg(long, value_name = "NAMESPACE/SERVICE", value_parser = service, conflicts_with_all = ["publish_address", "publish_node_addresses"])]
    publish_service: Option<ObjectName>,

    /// Show these addresses or names at our Ingresses (repeatable)
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        conflicts_with = "publish_node_addresses"
    )]
    publish_address: Vec<Address>,

    /// Show the addresses of all nodes that are ready at our Ingresses
    #[arg(long)]
    publish_node_addresses: bool,

    /// Whether Ingresses show our addresses; false serves beside another controller that does
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    update_status: bool,

    /// Whether each Ingress without a RouteHealth gets one
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    generate_routehealth: bool,

    /// Whether an Ingress that no controller serves gets one too, which says so
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    diagnose_unclaimed: bool,

    /// How many status writes a second, after a burst of five times as many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    status_writes_per_second: u32,

    /// Where health and metrics are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10254")]
    listen: SocketAddr,

    /// How log lines look
    #[arg(long, value_name = "FORM", default_value = "text")]
    log_format: LogFormat,

    #[command(flatten)]
    build: BuildOptions,
}

pub fn run(args: &ControllerArgs) -> anyhow::Result<u8> {
    if !args.build.backends.is_empty() {
        bail!("--backend is for manifests; in a cluster, Services have endpoints");
    }
    telemetry::log(args.log_format);
    threads(None)?.block_on(operate(args))
}

async fn operate(args: &ControllerArgs) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let config = args.connect.config().await?;
    let namespace = args.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = client(config)?;
    let identity = identity(args.identity.clone())?;
    let streaming_lists = args.streaming_lists && can_stream(&client).await;
    let settings = Settings {
        status: status(args, &namespace, &identity),
        publish: publish(args),
        owner: owner(&client, &namespace, args.anchor.as_deref()).await?,
        installation: args.installation.clone(),
        namespace,
        identity,
        leader_election: !args.no_leader_election,
        proxies: proxies(&args.proxies),
        options: args.build.options(today(), None),
        placement: placement(args),
        source: source(args, streaming_lists),
        namespace_selector: args.namespace_selector.clone(),
        config_map: args.config_map.clone(),
    };
    let metrics = Metrics::default();
    tracing::info!(
        installation = %settings.installation, namespace = settings.namespace,
        identity = settings.identity, "controller"
    );
    let operator = Operator::start(client, settings);
    let pages = pages::pages(operator.view(), metrics);
    let (address, serving) = serve(args.listen, pages).await?;
    tracing::info!(%address, "health and metrics");
    tokio::select! {
        () = operator.run(signals.any()) => {}
        () = serving => {}
    }
    tracing::info!("stopped");
    Ok(GOOD)
}

/// Tells installations of a cluster apart, also those of one name in two namespaces: a label's value,
/// which has at most 63 characters.
pub fn instance(namespace: &str, installation: &Installation) -> String {
    let whole = format!("{namespace}.{installation}");
    if whole.len() <= 63 {
        return whole;
    }
    let digest = blake3::hash(whole.as_bytes()).to_hex();
    let begin: String = whole.chars().take(50).collect();
    format!("{begin}.{}", &digest[..12])
}

fn status(args: &ControllerArgs, namespace: &str, identity: &str) -> status::Settings {
    status::Settings {
        installation: instance(namespace, &args.installation),
        instance: identity.to_owned(),
        generate: args.generate_routehealth,
        diagnose_unclaimed: args.diagnose_unclaimed,
        update_status: args.update_status,
        writes_per_second: args.status_writes_per_second,
        burst: args.status_writes_per_second.saturating_mul(5),
    }
}

fn publish(args: &ControllerArgs) -> Publish {
    match &args.publish_service {
        Some(service) => Publish::Service(service.clone()),
        None if args.publish_node_addresses => Publish::Nodes,
        None => Publish::Fixed(args.publish_address.clone()),
    }
}

fn service(text: &str) -> Result<ObjectName, String> {
    object_name(text).ok_or_else(|| "write NAMESPACE/SERVICE, as vigie/proxy".to_owned())
}

fn config_map(text: &str) -> Result<ObjectName, String> {
    object_name(text).ok_or_else(|| "write NAMESPACE/NAME, as vigie/settings".to_owned())
}

fn proxies(names: &[ProxyName]) -> Vec<ProxyKind> {
    let kinds: BTreeSet<ProxyKind> = names.iter().map(|name| (*name).into()).collect();
    kinds.into_iter().collect()
}

fn placement(args: &ControllerArgs) -> Placement {
    let mut anywhere = vec![IpAddr::from(Ipv4Addr::UNSPECIFIED)];
    if args.ipv6 {
        anywhere.push(Ipv6Addr::UNSPECIFIED.into());
    }
    let on = |port| {
        anywhere
            .iter()
            .map(|address| (*address, port).into())
            .collect()
    };
    Placement {
        http: on(args.http_port),
        https: on(args.https_port),
        https_redirect_port: Some(args.public_https_port),
        resolvers: Vec::new(),
    }
}

fn source(args: &ControllerArgs, streaming_lists: bool) -> cluster::Settings {
    let names: BTreeSet<String> = args.namespaces.iter().cloned().collect();
    cluster::Settings {
        namespaces: match names.is_empty() {
            true => Namespaces::All,
            false => Namespaces::Only(names),
        },
        secrets: args.build.default_certificate.iter().cloned().collect(),
        streaming_lists,
        ..cluster::Settings::default()
    }
}

/// An older API server refuses to stream lists, for ever; then they come in pages.
async fn can_stream(client: &Client) -> bool {
    let minor = match client.apiserver_version().await {
        Ok(version) if version.major == "1" => version.minor,
        Ok(_) => return true,
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::warn!(
                error,
                "the API server does not tell its version; lists come in pages"
            );
            return false;
        }
    };
    // Some providers add a plus sign.
    let number = minor.trim_end_matches('+').parse::<u16>();
    let can = number.is_ok_and(|number| number >= STREAMS_SINCE);
    if !can {
        tracing::warn!("Kubernetes 1.{minor} does not stream lists; they come in pages");
    }
    can
}

fn identity(given: Option<String>) -> anyhow::Result<String> {
    if let Some(given) = given {
        return Ok(given);
    }
    let machine = machine("--identity")?;
    Ok(format!("{machine}-{}", std::process::id()))
}

async fn owner(
    client: &Client,
    namespace: &str,
    anchor: Option<&str>,
) -> anyhow::Result<Option<OwnerReference>> {
    let Some(name) = anchor else {
        return Ok(None);
    };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let found = api.get(name).await;
    let found = found.with_context(|| format!("--anchor {name}: no such ConfigMap is read"))?;
    Ok(Some(OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: name.to_owned(),
        uid: found.metadata.uid.unwrap_or_default(),
        ..OwnerReference::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installations_of_one_name_in_two_namespaces_are_told_apart() {
        let name: Installation = "vigie".parse().unwrap();
        assert_eq!(instance("edge", &name), "edge.vigie");
        let long = "n".repeat(63);
        let label = instance(&long, &name);
        assert_eq!(label.len(), 63);
        assert_ne!(label, instance(&long[1..], &name));
    }
}
