//! A document's text → objects: which kind, which name, and what the API server would say of it.

use std::sync::{Arc, OnceLock};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ReplicationController, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::decode::{Decoded, decode};
use super::documents::Contents;
use super::fields::{Segment, field_path};
use super::yaml::{self, Duplicate, Node, Root, Value};
use super::{findings, names};
use crate::api::route_health::RouteHealth;
use crate::model::diagnostics::{Diagnostic, FieldPath, Kind, ObjectRef, Severity};
use crate::snapshot::pods::Pod;
use crate::snapshot::workloads::Workload;
use crate::snapshot::{Object, SERVICE_NAME_LABEL};

/// A document may be as large as an object in a cluster may be, and twice that.
const DOCUMENT_LIMIT: usize = 3 << 20;

/// The kinds that are read, with their only version.
const KINDS: [(Kind, &str, &str); 14] = [
    (Kind::Ingress, "Ingress", "networking.k8s.io/v1"),
    (Kind::IngressClass, "IngressClass", "networking.k8s.io/v1"),
    (Kind::Service, "Service", "v1"),
    (Kind::EndpointSlice, "EndpointSlice", "discovery.k8s.io/v1"),
    (Kind::Secret, "Secret", "v1"),
    (Kind::RouteHealth, "RouteHealth", "vigie.dev/v1alpha1"),
    (Kind::Pod, "Pod", "v1"),
    (Kind::Deployment, "Deployment", "apps/v1"),
    (Kind::StatefulSet, "StatefulSet", "apps/v1"),
    (Kind::DaemonSet, "DaemonSet", "apps/v1"),
    (Kind::ReplicaSet, "ReplicaSet", "apps/v1"),
    (Kind::ReplicationController, "ReplicationController", "v1"),
    (Kind::Job, "Job", "batch/v1"),
    (Kind::CronJob, "CronJob", "batch/v1"),
];

/// Kinds that routes are not made of, and that no name refers to.
const BYSTANDERS: [Kind; 3] = [Kind::Pod, Kind::Job, Kind::CronJob];

/// Groups in which a kind of the same name is the same kind in another version, or a slip; in all
/// other groups it is somebody else's.
const OWN_GROUPS: [&str; 8] = [
    "",
    "core",
    "extensions",
    "apps",
    "batch",
    "networking.k8s.io",
    "discovery.k8s.io",
    crate::api::GROUP,
];

/// Written by `kubectl apply`, as large as the object itself, and read by nobody here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// One thing that a document holds.
#[derive(Debug)]
pub enum Item {
    Definition(Definition),
    /// A finding about an object.
    Finding(Diagnostic),
    /// A key of an object that stands twice, and where.
    KeyTwice {
        object: ObjectRef,
        field: FieldPath,
        first: usize,
        second: usize,
    },
    /// A finding about a place where no object is known.
    Trouble {
        at: usize,
        severity: Severity,
        found: String,
        fix: String,
    },
    /// An object of a kind that is not read.
    Skipped(String),
}

/// A place where an object is defined.
#[derive(Debug)]
pub struct Definition {
    pub name: ObjectRef,
    pub seat: Seat,
    pub meaning: Meaning,
}

/// Where an object stands in a document: the tree in it, and the way to an item of a List.
#[derive(Clone, Debug)]
pub struct Seat {
    pub root: usize,
    pub base: Vec<Segment>,
}

/// What becomes of an object by a definition of it.
#[derive(Debug)]
pub enum Meaning {
    Object(Object),
    /// It cannot be used, and whatever was defined before does not count either: what is applied
    /// last stays.
    Unusable,
    /// No API server takes it: what was defined before stays.
    Refused,
}

/// Reads a document.
pub fn read(text: &str) -> Contents {
    let mut intake = Intake {
        text,
        items: Vec::new(),
        objects: 0,
    };
    if text.len() > DOCUMENT_LIMIT {
        let found = format!(
            "the document that begins here has {} octets; {DOCUMENT_LIMIT} are allowed",
            text.len()
        );
        intake.trouble(0, found, "Split it by lines with ---.");
    } else {
        match yaml::parse(text) {
            Ok(parsed) => {
                for (number, root) in parsed.roots.iter().enumerate() {
                    intake.take(root, number);
                }
            }
            Err(error) => intake.trouble(error.at, error.found, error.fix),
        }
    }
    Contents {
        items: intake.items,
        objects: intake.objects,
        trees: OnceLock::new(),
    }
}

/// Takes the trees of a document one after the other.
struct Intake<'t> {
    text: &'t str,
    items: Vec<Item>,
    objects: usize,
}

/// A tree with all that is needed to speak of it.
struct Sheet<'a> {
    node: &'a Node<'a>,
    seat: Seat,
    /// Of the document as a whole.
    duplicates: &'a [Duplicate],
    /// What an item of a typed list is where it does not say so itself.
    assumed: Option<(String, String)>,
}

impl Intake<'_> {
    fn take(&mut self, root: &Root<'_>, number: usize) {
        self.take_sheet(&Sheet {
            node: &root.node,
            seat: Seat {
                root: number,
                base: Vec::new(),
            },
            duplicates: &root.duplicates,
            assumed: None,
        });
    }

    /// A finding about a place where no object is known.
    fn trouble(&mut self, at: usize, found: impl Into<String>, fix: impl Into<String>) {
        self.items.push(Item::Trouble {
            at,
            severity: Severity::Error,
            found: found.into(),
            fix: fix.into(),
        });
    }

    fn take_sheet(&mut self, sheet: &Sheet<'_>) {
        if matches!(sheet.node.value, Value::Null) {
            return;
        }
        let text = |key| sheet.node.get(key).and_then(Node::as_text);
        let assumed = sheet.assumed.as_ref();
        let api_version = text("apiVersion").or(assumed.map(|(version, _)| version.as_str()));
        let kind = text("kind").or(assumed.map(|(_, kind)| kind.as_str()));
        match (api_version, kind) {
            (Some(version), Some(kind)) => self.take_kind(sheet, version, kind),
            (None, None) => self.not_an_object(sheet),
            (Some(_), None) => self.half_an_object(sheet, "kind"),
            (None, Some(_)) => self.half_an_object(sheet, "apiVersion"),
        }
    }

    fn not_an_object(&mut self, sheet: &Sheet<'_>) {
        // A folder may well hold other files, such as a chart's values.
        self.items.push(Item::Trouble {
            at: sheet.node.span.start,
            severity: Severity::Warning,
            found: "it has neither apiVersion nor kind, so it is no object; it is skipped".into(),
            fix: "Give both, or move the file out of the folder.".into(),
        });
    }

    fn half_an_object(&mut self, sheet: &Sheet<'_>, missing: &str) {
        self.trouble(
            sheet.node.span.start,
            format!("it has no {missing} that is a string"),
            "Give apiVersion and kind, as `apiVersion: networking.k8s.io/v1` and `kind: Ingress`.",
        );
    }

    fn take_kind(&mut self, sheet: &Sheet<'_>, version: &str, kind: &str) {
        if let Some(Value::List(items)) = sheet.node.get("items").map(|items| &items.value)
            && kind.ends_with("List")
        {
            return self.take_items(sheet, items, version, kind);
        }
        let group = version.split_once('/').map_or("", |(group, _)| group);
        match KINDS.iter().find(|(_, name, _)| *name == kind) {
            Some((kind, _, wanted)) if version == *wanted => self.take_object(sheet, *kind),
            Some((kind, _, wanted)) if OWN_GROUPS.contains(&group) => {
                self.objects += 1;
                if let Some(object) = self.name_of(sheet, *kind) {
                    let finding = findings::wrong_version(&object, version, wanted);
                    self.items.push(Item::Finding(finding));
                    self.items.push(Item::Definition(Definition {
                        name: object,
                        seat: sheet.seat.clone(),
                        meaning: Meaning::Refused,
                    }));
                }
            }
            Some(_) => self.skip(format!("{kind}.{group}")),
            None => self.skip(kind.to_owned()),
        }
    }

    fn skip(&mut self, kind: String) {
        // A hostile name must not reach a terminal.
        let kind = kind.chars().filter(|c| !c.is_control()).take(80).collect();
        self.items.push(Item::Skipped(kind));
    }

    fn take_items(&mut self, list: &Sheet<'_>, items: &[Node<'_>], version: &str, kind: &str) {
        let own = list.duplicates.iter();
        for twice in own.filter(|d| d.path.len() == list.seat.base.len() + 1) {
            self.trouble(
                twice.second.start,
                "this key of the list stands twice",
                "Keep one of the two.",
            );
        }
        let item_kind = kind.strip_suffix("List").unwrap_or_default();
        for (index, node) in items.iter().enumerate() {
            let mut seat = list.seat.clone();
            seat.base.push(Segment::Key("items".into()));
            seat.base.push(Segment::Index(index));
            self.take_sheet(&Sheet {
                node,
                seat,
                duplicates: list.duplicates,
                assumed: (!item_kind.is_empty())
                    .then(|| (version.to_owned(), item_kind.to_owned())),
            });
        }
    }

    /// The object's name, or a finding that it has none that can be used.
    fn name_of(&mut self, sheet: &Sheet<'_>, kind: Kind) -> Option<ObjectRef> {
        match names::object_ref(sheet.node, kind) {
            Ok(object) => Some(object),
            Err(bad) => {
                let at = bad.span.unwrap_or(sheet.node.span.clone()).start;
                self.trouble(at, bad.found, bad.fix);
                None
            }
        }
    }

    fn take_object(&mut self, sheet: &Sheet<'_>, kind: Kind) {
        let is_bystander = BYSTANDERS.contains(&kind);
        if is_bystander && names::object_ref(sheet.node, kind).is_err() {
            // A cluster may make the name, and nobody refers to it by that.
            return self.skip(kind.to_string());
        }
        self.objects += 1;
        let Some(name) = self.name_of(sheet, kind) else {
            return;
        };
        // What is found about the object stands after its definition.
        let place = self.items.len();
        let repeated = self.repeated_keys(sheet, &name);
        let meaning = match self.decoded(sheet, &name) {
            Some(object) if !repeated => Meaning::Object(object),
            _ => Meaning::Unusable,
        };
        let seat = sheet.seat.clone();
        let definition = Definition {
            name,
            seat,
            meaning,
        };
        self.items.insert(place, Item::Definition(definition));
    }

    /// Tells of every key of the object that stands twice; whether there is one.
    fn repeated_keys(&mut self, sheet: &Sheet<'_>, object: &ObjectRef) -> bool {
        let base = sheet.seat.base.as_slice();
        let before = self.items.len();
        self.items.extend(sheet.duplicates.iter().filter_map(|d| {
            Some(Item::KeyTwice {
                object: object.clone(),
                field: field_path(d.path.strip_prefix(base)?),
                first: d.first.start,
                second: d.second.start,
            })
        }));
        self.items.len() > before
    }

    fn decoded(&mut self, sheet: &Sheet<'_>, object: &ObjectRef) -> Option<Object> {
        let object = match object.kind {
            Kind::Ingress => {
                let mut ingress: Ingress = self.typed(sheet.node, object)?;
                prune(&mut ingress.metadata);
                Object::Ingress(Arc::new(ingress))
            }
            Kind::IngressClass => {
                let mut class: IngressClass = self.typed(sheet.node, object)?;
                prune(&mut class.metadata);
                Object::Class(Arc::new(class))
            }
            Kind::Service => {
                let mut service: Service = self.typed(sheet.node, object)?;
                prune(&mut service.metadata);
                Object::Service(Arc::new(service))
            }
            Kind::EndpointSlice => {
                let mut slice: EndpointSlice = self.typed(sheet.node, object)?;
                prune(&mut slice.metadata);
                let labels = slice.metadata.labels.as_ref();
                if labels.is_none_or(|labels| !labels.contains_key(SERVICE_NAME_LABEL)) {
                    let finding = findings::slice_without_service(object);
                    self.items.push(Item::Finding(finding));
                }
                Object::Slice(Arc::new(slice))
            }
            Kind::Secret => Object::Secret(Arc::new(self.secret(sheet, object)?)),
            Kind::Pod => {
                let pod: k8s_openapi::api::core::v1::Pod = self.lenient(sheet.node, object)?;
                Object::Pod(Arc::new(Pod::of(&pod)))
            }
            Kind::Deployment => self.workload::<Deployment>(sheet, object)?,
            Kind::StatefulSet => self.workload::<StatefulSet>(sheet, object)?,
            Kind::DaemonSet => self.workload::<DaemonSet>(sheet, object)?,
            Kind::ReplicaSet => self.workload::<ReplicaSet>(sheet, object)?,
            Kind::ReplicationController => self.workload::<ReplicationController>(sheet, object)?,
            Kind::Job => self.workload::<Job>(sheet, object)?,
            Kind::CronJob => self.workload::<CronJob>(sheet, object)?,
            Kind::RouteHealth => {
                let mut health: RouteHealth = self.typed(sheet.node, object)?;
                prune(&mut health.metadata);
                Object::RouteHealth(Arc::new(health))
            }
            Kind::Manifest | Kind::Option => return None,
        };
        Some(object)
    }

    fn workload<T: serde::de::DeserializeOwned>(
        &mut self,
        sheet: &Sheet<'_>,
        object: &ObjectRef,
    ) -> Option<Object>
    where
        Workload: for<'o> From<&'o T>,
    {
        let workload: T = self.lenient(sheet.node, object)?;
        Some(Object::Workload(Arc::new(Workload::from(&workload))))
    }

    fn typed<'a, T: serde::Deserialize<'a>>(
        &mut self,
        node: &'a Node<'a>,
        object: &ObjectRef,
    ) -> Option<T> {
        let decoded = decode::<T>(node);
        // They say the type, and are no field of it.
        let is_type = |path: &[Segment]| match path {
            [Segment::Key(key)] => matches!(key.as_str(), "apiVersion" | "kind"),
            _ => false,
        };
        let unknown = decoded.unknown.iter().filter(|path| !is_type(path));
        self.items.extend(
            unknown.map(|path| Item::Finding(findings::unknown_field(object, &field_path(path)))),
        );
        self.taken(decoded, object)
    }

    /// Of a kind that routes are not made of: a newer cluster may well know more of its fields.
    fn lenient<'a, T: serde::Deserialize<'a>>(
        &mut self,
        node: &'a Node<'a>,
        object: &ObjectRef,
    ) -> Option<T> {
        self.taken(decode::<T>(node), object)
    }

    fn taken<T>(&mut self, decoded: Decoded<T>, object: &ObjectRef) -> Option<T> {
        match decoded.result {
            Ok(value) => Some(value),
            Err(refusal) => {
                let written = self.text.get(refusal.span.clone());
                let finding = findings::refused(object, &refusal, written);
                self.items.push(Item::Finding(finding));
                None
            }
        }
    }

    fn secret(&mut self, sheet: &Sheet<'_>, object: &ObjectRef) -> Option<Secret> {
        let mut node = sheet.node.clone();
        names::unwrap_base64(&mut node);
        let mut secret: Secret = self.typed(&node, object)?;
        prune(&mut secret.metadata);
        if let Some(strings) = secret.string_data.take() {
            let data = secret.data.get_or_insert_default();
            let bytes = |text: String| k8s_openapi::ByteString(text.into_bytes());
            data.extend(strings.into_iter().map(|(key, text)| (key, bytes(text))));
        }
        Some(secret)
    }
}

/// Drops what no build reads.
fn prune(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}
