//! Events: told when the health of an Ingress's routes turns, where people look first.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use crate::api::CONTROLLER_NAME;
use crate::api::route_health::{Condition, ConditionStatus, RouteHealth, RouteHealthStatus};
use crate::conditions::ConditionType;
use crate::model::diagnostics::Code;
use crate::snapshot::ObjectName;
use crate::source::cluster::Statuses;

/// Of the note, in octets.
const LONGEST: usize = 1000;

/// What is told, and of which object; it is dated when it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    regarding: ObjectReference,
    pub is_good: bool,
    reason: String,
    note: String,
}

/// Whether a new status turns the health: to False from anything else, or from False to True.
pub fn turn(
    name: &ObjectName,
    health: &RouteHealth,
    new: &RouteHealthStatus,
    statuses: &Statuses,
) -> Option<Turn> {
    let before = health.status.as_ref().and_then(healthy).map(|c| c.status);
    let now = healthy(new)?;
    let is_good = match (before, now.status) {
        (Some(ConditionStatus::False), ConditionStatus::True) => true,
        (Some(ConditionStatus::False), _)
        | (_, ConditionStatus::True | ConditionStatus::Unknown) => {
            return None;
        }
        (_, ConditionStatus::False) => false,
    };
    let code = Code::ALL.iter().find(|code| code.reason() == now.reason);
    let note = match (is_good, code) {
        (true, _) => format!("All routes of RouteHealth {} work.", name.name),
        (false, Some(code)) => format!("{} {code}", now.message),
        (false, None) => now.message.clone(),
    };
    Some(Turn {
        regarding: regarding(name, health, now, statuses),
        is_good,
        reason: now.reason.clone(),
        note: cut(note),
    })
}

fn healthy(status: &RouteHealthStatus) -> Option<&Condition> {
    let name = ConditionType::Healthy.as_str();
    status.conditions.iter().find(|c| c.type_ == name)
}

/// The Ingress; or the RouteHealth itself, where that is what somebody has to correct, or where it is
/// about many.
fn regarding(
    name: &ObjectName,
    health: &RouteHealth,
    now: &Condition,
    statuses: &Statuses,
) -> ObjectReference {
    let own = [Code::RH101, Code::RH103, Code::RH104];
    let is_own = own.iter().any(|code| code.reason() == now.reason);
    let target = health.spec.target_ref.as_ref().filter(|_| !is_own);
    let ingress = target.map(|target| ObjectName::new(&*name.namespace, &*target.name));
    let seen = ingress.and_then(|name| Some((statuses.ingresses.get(&name)?.clone(), name)));
    let (kind, version, name, uid) = match seen {
        Some((seen, name)) => ("Ingress", "networking.k8s.io/v1", name, seen.uid.clone()),
        None => {
            let uid = health.metadata.uid.clone();
            ("RouteHealth", "vigie.dev/v1alpha1", name.clone(), uid)
        }
    };
    ObjectReference {
        api_version: Some(version.to_owned()),
        kind: Some(kind.to_owned()),
        namespace: Some(name.namespace),
        name: Some(name.name),
        uid,
        ..ObjectReference::default()
    }
}

fn cut(mut note: String) -> String {
    if note.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| note.is_char_boundary(*at));
        note.truncate(end.unwrap_or_default());
        note.push('…');
    }
    note
}

impl Turn {
    pub fn namespace(&self) -> &str {
        self.regarding.namespace.as_deref().unwrap_or_default()
    }

    pub fn event(&self, now: Timestamp, instance: &str) -> Event {
        let name = self.regarding.name.as_deref().unwrap_or_default();
        let start = name.get(..name.len().min(200)).unwrap_or_default();
        let start = start.trim_end_matches(['.', '-']);
        let kind = if self.is_good { "Normal" } else { "Warning" };
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{start}.{:x}", now.as_nanosecond())),
                namespace: self.regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            action: Some("Judge".to_owned()),
            reason: Some(self.reason.clone()),
            note: Some(self.note.clone()),
            regarding: Some(self.regarding.clone()),
            reporting_controller: Some(CONTROLLER_NAME.to_owned()),
            reporting_instance: Some(instance.to_owned()),
            type_: Some(kind.to_owned()),
            ..Event::default()
        }
    }
}
