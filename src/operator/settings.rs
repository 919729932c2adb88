//! Settings that can be changed while a controller runs: the keys of a ConfigMap, which go before the
//! flags of the same names. One that cannot be read is told by name, and what the flags say holds.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::snapshot::ObjectName;
use crate::source::stand_in::{object_name, service_and_port};
use crate::telemetry::chain;
use crate::translate::{Options, PathSemantics, network};
use crate::watching::watching;

/// What the ConfigMap says; None before it is known whether there is one.
pub type Given = Option<Arc<BTreeMap<String, String>>>;

type Read = fn(&mut Options, &str) -> Result<(), String>;

/// Every setting, with what reads it.
const KNOWN: [(&str, Read); 8] = [
    ("compat-annotations", compat_annotations),
    ("default-backend", default_backend),
    ("default-certificate", default_certificate),
    ("path-semantics", path_semantics),
    ("proxy-protocol", proxy_protocol),
    ("take-over", take_over),
    ("trusted-proxies", trusted_proxies),
    ("watch-ingress-without-class", without_class),
];

/// The options that hold, and a sentence for each setting that cannot be read.
pub fn applied(flags: &Options, given: &BTreeMap<String, String>) -> (Options, Vec<String>) {
    let mut options = flags.clone();
    let mut problems = Vec::new();
    for (key, value) in given {
        let known = KNOWN.iter().find(|(name, _)| name == key);
        match known.map(|(_, read)| read(&mut options, value.trim())) {
            Some(Ok(())) => {}
            Some(Err(allowed)) => problems.push(format!(
                "{key}: {} is not allowed; write {allowed}",
                crate::model::names::shown(value)
            )),
            None => problems.push(unknown(key)),
        }
    }
    (options, problems)
}

fn unknown(key: &str) -> String {
    let mut names = KNOWN.map(|(name, _)| name);
    names.sort_by_key(|name| strsim::damerau_levenshtein(name, key));
    let near = strsim::damerau_levenshtein(names[0], key) <= 3;
    let hint = match near {
        true => format!("; did you mean {}?", names[0]),
        false => {
            names.sort_unstable();
            format!("; there are {}", names.join(", "))
        }
    };
    format!("{} is no setting{hint}", crate::model::names::shown(key))
}

fn compat_annotations(options: &mut Options, text: &str) -> Result<(), String> {
    options.classes.reads_agic = match text {
        "agic" => true,
        "none" => false,
        _ => return Err("agic or none".to_owned()),
    };
    Ok(())
}

fn default_backend(options: &mut Options, text: &str) -> Result<(), String> {
    let allowed = || "NAMESPACE/SERVICE[:PORT], as shop/api:80".to_owned();
    options.default_backend = Some(service_and_port(text).map_err(|_| allowed())?);
    Ok(())
}

fn default_certificate(options: &mut Options, text: &str) -> Result<(), String> {
    let allowed = || "NAMESPACE/SECRET, as shop/tls".to_owned();
    options.default_certificate_secret = Some(object_name(text).ok_or_else(allowed)?);
    Ok(())
}

fn path_semantics(options: &mut Options, text: &str) -> Result<(), String> {
    options.classes.semantics = Some(match text {
        "strict" => PathSemantics::Strict,
        "ingress-nginx" => PathSemantics::IngressNginx,
        _ => return Err("strict or ingress-nginx".to_owned()),
    });
    Ok(())
}

fn proxy_protocol(options: &mut Options, text: &str) -> Result<(), String> {
    options.proxy_protocol = boolean(text)?;
    Ok(())
}

fn without_class(options: &mut Options, text: &str) -> Result<(), String> {
    options.classes.without_class = boolean(text)?;
    Ok(())
}

fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "true or false".to_owned())
}

fn take_over(options: &mut Options, text: &str) -> Result<(), String> {
    let taken = parts(text).map(|name| (name.to_owned(), PathSemantics::IngressNginx));
    // The first is our own.
    options.classes.controllers.truncate(1);
    options.classes.controllers.extend(taken);
    Ok(())
}

fn trusted_proxies(options: &mut Options, text: &str) -> Result<(), String> {
    let allowed = || "addresses or networks with commas between, as 10.0.0.0/8".to_owned();
    let network = |text: &str| network(text).ok_or_else(allowed);
    options.trusted_proxies = parts(text).map(network).collect::<Result<_, _>>()?;
    Ok(())
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Follows the ConfigMap until nobody listens any more. One that is not there says nothing.
pub async fn follow(client: Client, of: ObjectName, given: watch::Sender<Given>) {
    let api: Api<ConfigMap> = Api::namespaced(client, &of.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", of.name));
    let mut events = pin!(watching(api, config));
    let mut listed = None;
    loop {
        let event = tokio::select! {
            () = given.closed() => return,
            Some(event) = events.next() => event,
        };
        let now = match event {
            Ok(Event::Init) => {
                listed = None;
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listed = object.data;
                continue;
            }
            Ok(Event::InitDone) => listed.take().unwrap_or_default(),
            Ok(Event::Apply(object)) => object.data.unwrap_or_default(),
            Ok(Event::Delete(_)) => BTreeMap::new(),
            Err(error) => {
                tell(&error, &of);
                // Nobody waits for what cannot be had; a failure of a moment is waited for, since what
                // is built without the settings may take routes away.
                if is_refusal(&error) {
                    given.send_if_modified(|given| {
                        let unknown = given.is_none();
                        given.get_or_insert_default();
                        unknown
                    });
                }
                continue;
            }
        };
        given.send_replace(Some(Arc::new(now)));
    }
}

/// Whether the API server does not let us.
fn is_refusal(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status)
        | watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.is_forbidden(),
        _ => false,
    }
}

fn tell(error: &dyn std::error::Error, of: &impl Display) {
    tracing::warn!(error = %chain(error), "watching the settings in ConfigMap {of} failed");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Options {
        let mut options = Options::of_class("vigie", jiff::civil::date(2026, 1, 1));
        let ours = ("example.com/ours".to_owned(), PathSemantics::Strict);
        options.classes.controllers.push(ours);
        options.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        options
    }

    fn given(key: &str, value: &str) -> (Options, Vec<String>) {
        applied(&flags(), &[(key.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn what_is_given_goes_before_the_flags() {
        let (options, problems) = given("trusted-proxies", "192.0.2.1, 198.51.100.0/24");
        assert!(problems.is_empty());
        let texts: Vec<String> = options
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts, ["192.0.2.1/32", "198.51.100.0/24"]);
        let (options, _) = given("proxy-protocol", "true");
        assert!(options.proxy_protocol);
        let (options, _) = given("take-over", "k8s.io/ingress-nginx");
        let names: Vec<&str> = options
            .classes
            .controllers
            .iter()
            .map(|(name, _)| &**name)
            .collect();
        assert_eq!(names, ["example.com/ours", "k8s.io/ingress-nginx"]);
        let (options, _) = given("default-backend", "shop/api:80");
        let named = Some((ObjectName::new("shop", "api"), Some("80".to_owned())));
        assert_eq!(options.default_backend, named);
    }

    #[test]
    fn a_value_that_cannot_be_read_is_told_and_the_flags_hold() {
        let (options, problems) = given("trusted-proxies", "everybody");
        assert_eq!(options.trusted_proxies, flags().trusted_proxies);
        let words = "trusted-proxies: \"everybody\" is not allowed; write addresses or networks with \
                     commas between, as 10.0.0.0/8";
        assert_eq!(problems, [words]);
    }

    #[test]
    fn a_setting_that_is_none_is_refused_by_name() {
        let (_, problems) = given("proxy-protocoll", "true");
        let words = "\"proxy-protocoll\" is no setting; did you mean proxy-protocol?";
        assert_eq!(problems, [words]);
        let (_, problems) = given("worker-processes", "4");
        let known = "there are compat-annotations, default-backend, default-certificate, ";
        assert!(problems[0].contains(known));
    }
}
