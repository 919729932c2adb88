//! Which Ingresses are ours, in the order of their age, and what their annotations ask for.

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use super::annotations::{self, Settings};
use super::{Classes, PathSemantics};
use crate::api::{DEFAULT_CLASS_ANNOTATION, INGRESS_NGINX_CONTROLLER, LEGACY_CLASS_ANNOTATION};
use crate::model::diagnostics::{Diagnostic, FieldPath, Kind, ObjectRef, Severity, accepted};
use crate::snapshot::{ObjectName, Snapshot};

/// An Ingress of ours.
pub struct Claimed<'a> {
    pub name: &'a ObjectName,
    pub ingress: &'a Ingress,
    pub object: ObjectRef,
    pub semantics: PathSemantics,
    pub settings: Settings,
}

/// Whose an Ingress is.
enum Owner<'a> {
    Ours(PathSemantics),
    /// Another controller's class, which exists.
    Other(&'a str),
    /// It names no class, and the default class is another controller's.
    Default(&'a str),
    /// The class that spec.ingressClassName names does not exist.
    Missing(&'a str),
    /// Neither class nor default class.
    Nobody,
}

/// Claims our Ingresses, the oldest first, then by namespace and name.
pub fn claim<'a>(
    snapshot: &'a Snapshot,
    classes: &Classes,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Claimed<'a>> {
    let mut claimed = Vec::new();
    for (name, ingress) in snapshot.ingresses.iter() {
        let object = ObjectRef::new(Kind::Ingress, &name.namespace, &name.name);
        match owner(snapshot, classes, ingress) {
            Owner::Ours(semantics) => {
                let empty = Default::default();
                let raw = ingress.metadata.annotations.as_ref().unwrap_or(&empty);
                let (settings, of_annotations) =
                    annotations::settings(&object, raw, classes.reads_agic);
                findings.extend(of_annotations);
                claimed.push(Claimed {
                    name,
                    ingress,
                    object,
                    semantics,
                    settings,
                });
            }
            Owner::Other(class) => {
                let mut finding = accepted::target_not_ours(&object, Some(class), &classes.name);
                let spec = ingress.spec.as_ref();
                let annotated = ingress.metadata.annotations.iter().flatten();
                if spec.is_none_or(|spec| spec.ingress_class_name.is_none())
                    && annotated
                        .into_iter()
                        .any(|(key, _)| key == LEGACY_CLASS_ANNOTATION)
                {
                    finding.origin.field = FieldPath::annotation(LEGACY_CLASS_ANNOTATION);
                }
                findings.push(finding.with_severity(Severity::Info));
            }
            Owner::Default(class) => {
                let finding = accepted::default_class_not_ours(&object, class, &classes.name);
                findings.push(finding.with_severity(Severity::Info));
            }
            Owner::Missing(class) => {
                findings.push(accepted::ingress_class_not_found(&object, class))
            }
            Owner::Nobody => findings.push(accepted::target_not_ours(&object, None, &classes.name)),
        }
    }
    claimed.sort_by_key(|c| c.ingress.metadata.creation_timestamp.clone());
    claimed
}

fn owner<'a>(snapshot: &'a Snapshot, classes: &Classes, ingress: &'a Ingress) -> Owner<'a> {
    let wanted = ingress
        .spec
        .as_ref()
        .and_then(|spec| spec.ingress_class_name.as_deref());
    if let Some(name) = wanted {
        return match snapshot.classes.get(name) {
            Some(class) => of_class(classes, name, class),
            None if name == classes.name => Owner::Ours(by_name(classes)),
            None => Owner::Missing(name),
        };
    }
    // The legacy annotation is compared with names; it never needed an object.
    let annotations = ingress.metadata.annotations.as_ref();
    if let Some(name) = annotations.and_then(|all| all.get(LEGACY_CLASS_ANNOTATION)) {
        return match snapshot.classes.get(name) {
            Some(class) => of_class(classes, name, class),
            None if *name == classes.name => Owner::Ours(by_name(classes)),
            None => Owner::Other(name),
        };
    }
    let default = snapshot.classes.iter().find(|(_, class)| is_default(class));
    match default {
        Some((name, class)) => match of_class(classes, name, class) {
            Owner::Other(name) => Owner::Default(name),
            owner => owner,
        },
        None if classes.without_class => Owner::Ours(by_name(classes)),
        None => Owner::Nobody,
    }
}

/// Semantics of the class that is served by its name alone.
fn by_name(classes: &Classes) -> PathSemantics {
    classes.semantics.unwrap_or(PathSemantics::Strict)
}

fn of_class<'a>(classes: &Classes, name: &'a str, class: &'a IngressClass) -> Owner<'a> {
    let controller = class
        .spec
        .as_ref()
        .and_then(|spec| spec.controller.as_deref())
        .unwrap_or("");
    let known = classes
        .controllers
        .iter()
        .find(|(ours, _)| ours == controller);
    // Naming an ingress-nginx class is asking to take it over.
    let taken = name == classes.name && controller == INGRESS_NGINX_CONTROLLER;
    match known {
        Some((_, semantics)) => Owner::Ours(classes.semantics.unwrap_or(*semantics)),
        None if taken => Owner::Ours(classes.semantics.unwrap_or(PathSemantics::IngressNginx)),
        None => Owner::Other(name),
    }
}

fn is_default(class: &IngressClass) -> bool {
    let annotations = class.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(DEFAULT_CLASS_ANNOTATION))
        .is_some_and(|v| v == "true")
}
