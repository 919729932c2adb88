//! `vigie status`: what an installation publishes, which proxies run it, and what is not healthy. Exit
//! codes: 0 all is well, 1 something is not, 2 misuse.

use std::fmt::{Debug, Write as _};

use anyhow::Context;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;

use super::connect::{ConnectArgs, client};
use super::report::printable;
use super::runtime::one_thread;
use super::{FINDINGS, GOOD};
use crate::api::part::REPORT;
use crate::api::report::{LEASE_SECONDS, Report};
use crate::api::route_health::{ConditionStatus, RouteHealth};
use crate::api::{INSTANCE_LABEL, PART_LABEL};
use crate::operator::lease;
use crate::render::bundle::ProxyKind;
use crate::render::wire::{Installation, contents};

/// More than that are for `kubectl get routehealth`.
const ROWS: usize = 50;
/// Objects that are asked for at once.
const PAGE: u32 = 500;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The name of the installation
    #[arg(long, value_name = "NAME", default_value = "vigie")]
    installation: Installation,

    /// The namespace of the installation; default: that of the context
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,

    #[command(flatten)]
    connect: ConnectArgs,
}

pub fn run(args: &StatusArgs) -> anyhow::Result<u8> {
    one_thread()?.block_on(status(args))
}

async fn status(args: &StatusArgs) -> anyhow::Result<u8> {
    let config = args.connect.config().await?;
    let namespace = args.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = client(config)?;
    let mut text = leader(&client, &namespace, &args.installation).await?;
    let published = published(&client, &namespace, &args.installation).await?;
    for (kind, revision) in &published {
        let _ = writeln!(text, "published for {kind}: {}", printable(revision));
    }
    if published.is_empty() {
        text.push_str("nothing is published here under this name\n");
    }
    let (proxies, all_run) = proxies(&client, &namespace, &args.installation, &published).await?;
    let (healths, all_healthy) = healths(&client).await?;
    print!("{text}\n{proxies}\n{healths}");
    let good = !published.is_empty() && all_run && all_healthy;
    Ok(if good { GOOD } else { FINDINGS })
}

async fn leader(client: &Client, namespace: &str, of: &Installation) -> anyhow::Result<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let lease = leases.get_opt(&lease::name(of)).await;
    let lease = lease.with_context(|| format!("cannot read Leases in {namespace}"))?;
    let holder = lease.and_then(|lease| lease.spec?.holder_identity);
    Ok(match holder {
        Some(holder) => format!("leader: {}\n", printable(&holder)),
        None => "leader: none\n".to_owned(),
    })
}

/// The revision that is published for each proxy.
async fn published(
    client: &Client,
    namespace: &str,
    of: &Installation,
) -> anyhow::Result<Vec<(ProxyKind, String)>> {
    let objects: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut published = Vec::new();
    for kind in ProxyKind::ALL {
        let name = of.index(kind);
        let index = objects.get_opt(&name).await;
        let index = index.with_context(|| format!("cannot read ConfigMap {namespace}/{name}"))?;
        if let Some(index) = index {
            let contents = contents(&name, &index.data.unwrap_or_default())?;
            published.push((kind, contents.revision));
        }
    }
    Ok(published)
}

/// All objects of a list, however many they are.
async fn all<K>(api: &Api<K>, these: &ListParams) -> kube::Result<Vec<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut page = these.clone().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let list = api.list(&page).await?;
        found.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// A table of the proxies, and whether all of them run what is published.
async fn proxies(
    client: &Client,
    namespace: &str,
    of: &Installation,
    published: &[(ProxyKind, String)],
) -> anyhow::Result<(String, bool)> {
    let labels = format!("{INSTANCE_LABEL}={of},{PART_LABEL}={REPORT}");
    let these = ListParams::default().labels(&labels);
    let reports: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let failed = || format!("cannot list reports in {namespace}");
    let reports = all(&reports, &these).await.with_context(failed)?;
    let leases = all(&leases, &these).await.with_context(failed)?;
    let mut table = new_table(["PROXY", "VERSION", "RUNS", "STATE"]);
    let mut all_run = true;
    for object in reports {
        let name = object.name_any();
        let report = match Report::read(&object.data.unwrap_or_default()) {
            Ok(report) => report,
            Err(error) => {
                table.add_row([name, String::new(), String::new(), error.to_string()]);
                all_run = false;
                continue;
            }
        };
        let lease = leases.iter().find(|lease| lease.name_any() == name);
        let state = state(&report, lease, published);
        all_run &= state == "current";
        let runs = report.revision.clone().unwrap_or_else(|| "nothing".into());
        let version = format!("{} {}", report.proxy, report.version);
        let row = [report.pod, version, runs, state];
        table.add_row(row.map(|cell| printable(&cell)));
    }
    if table.is_empty() {
        return Ok(("no proxy reports\n".to_owned(), false));
    }
    Ok((format!("{table}\n"), all_run))
}

fn state(report: &Report, lease: Option<&Lease>, published: &[(ProxyKind, String)]) -> String {
    let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref());
    let age = renewed.map(|time| Timestamp::now().duration_since(time.0).as_secs());
    if age.is_none_or(|age| age > LEASE_SECONDS.cast_signed()) {
        return "has not been heard of for a while".to_owned();
    }
    if let Some(refused) = &report.refused {
        return format!("refuses {}: {}", refused.revision, refused.words);
    }
    let mut of_kind = published.iter();
    let wanted = of_kind.find(|(kind, _)| kind.as_str() == report.proxy);
    match wanted {
        Some((_, wanted)) if report.revision.as_ref() == Some(wanted) => "current".to_owned(),
        Some(_) => "behind".to_owned(),
        None => "nothing is published for it".to_owned(),
    }
}

/// A table of what is not healthy, in all namespaces that we may see, and whether there is none.
async fn healths(client: &Client) -> anyhow::Result<(String, bool)> {
    let healths: Api<RouteHealth> = Api::all(client.clone());
    let objects = match all(&healths, &ListParams::default()).await {
        Ok(objects) => objects,
        Err(kube::Error::Api(status)) if status.code == 404 => {
            return Ok((
                "RouteHealth is not installed: see vigie crds\n".to_owned(),
                true,
            ));
        }
        Err(error) => return Err(error).context("cannot list RouteHealths"),
    };
    let mut table = new_table(["NAMESPACE", "ROUTEHEALTH", "REASON", "MESSAGE"]);
    let (mut healthy, mut sick) = (0, 0);
    for object in objects {
        let status = object.status.as_ref();
        let conditions = status.map(|status| status.conditions.as_slice());
        let mut conditions = conditions.unwrap_or_default().iter();
        let verdict = conditions.find(|condition| condition.type_ == "Healthy");
        if verdict.is_some_and(|verdict| verdict.status == ConditionStatus::True) {
            healthy += 1;
            continue;
        }
        sick += 1;
        if sick <= ROWS {
            let (reason, message) = match verdict {
                Some(verdict) => (verdict.reason.clone(), verdict.message.clone()),
                None => ("NotYetKnown".to_owned(), String::new()),
            };
            let namespace = object.namespace().unwrap_or_default();
            let row = [namespace, object.name_any(), reason, message];
            table.add_row(row.map(|cell| printable(&cell)));
        }
    }
    let mut text = format!("RouteHealth: {healthy} healthy, {sick} not\n");
    if sick > 0 {
        let _ = writeln!(text, "{table}");
    }
    Ok((text, sick == 0))
}

fn new_table(head: [&str; 4]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head);
    table
}
