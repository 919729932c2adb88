//! A document's tree → objects: which kind, which name, and what the API server would say of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::decode::decode;
use super::fields::{Segment, field_path};
use super::findings;
use super::locations::{Locations, Seat};
use super::names;
use super::yaml::{Duplicate, Node, Root, Value};
use crate::model::diagnostics::{Diagnostic, Kind, ObjectRef};
use crate::snapshot::{SERVICE_NAME_LABEL, Snapshot};

/// The kinds that are read, with their only version.
const KINDS: [(Kind, &str, &str); 5] = [
    (Kind::Ingress, "Ingress", "networking.k8s.io/v1"),
    (Kind::IngressClass, "IngressClass", "networking.k8s.io/v1"),
    (Kind::Service, "Service", "v1"),
    (Kind::EndpointSlice, "EndpointSlice", "discovery.k8s.io/v1"),
    (Kind::Secret, "Secret", "v1"),
];

/// Groups in which a kind of the same name is the same kind in another version, or a slip; in all
/// other groups it is somebody else's.
const OWN_GROUPS: [&str; 5] = [
    "",
    "core",
    "extensions",
    "networking.k8s.io",
    "discovery.k8s.io",
];

/// Written by `kubectl apply`, as large as the object itself, and read by nobody here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object as it goes into the snapshot.
enum Object {
    Ingress(Box<Ingress>),
    Class(Box<IngressClass>),
    Service(Box<Service>),
    Slice(Box<EndpointSlice>),
    Secret(Box<Secret>),
}

/// Takes documents one after the other.
#[derive(Default)]
pub struct Intake {
    objects: BTreeMap<ObjectRef, Object>,
    pub locations: Locations,
    pub diagnostics: Vec<Diagnostic>,
    pub skipped: BTreeMap<String, usize>,
    pub count: usize,
}

/// A tree with all that is needed to speak of it.
struct Sheet<'a> {
    node: &'a Node<'a>,
    seat: Seat,
    /// Of the document as a whole.
    duplicates: &'a [Duplicate],
    /// The file and the octet of the tree's beginning in it.
    file: usize,
    offset: usize,
    /// What an item of a typed list is where it does not say so itself.
    assumed: Option<(String, String)>,
}

impl Intake {
    pub fn finish(
        self,
    ) -> (
        Snapshot,
        Locations,
        Vec<Diagnostic>,
        BTreeMap<String, usize>,
        usize,
    ) {
        let mut snapshot = Snapshot::default();
        for object in self.objects.into_values() {
            match object {
                Object::Ingress(object) => snapshot.add_ingress(*object),
                Object::Class(object) => snapshot.add_class(*object),
                Object::Service(object) => snapshot.add_service(*object),
                Object::Slice(object) => snapshot.add_slice(*object),
                Object::Secret(object) => snapshot.add_secret(*object),
            }
        }
        (
            snapshot,
            self.locations,
            self.diagnostics,
            self.skipped,
            self.count,
        )
    }

    /// Takes one tree of a document that begins at `offset` of a file.
    pub fn take(
        &mut self,
        root: &Root<'_>,
        file: usize,
        offset: usize,
        document: usize,
        number: usize,
    ) {
        self.take_sheet(&Sheet {
            node: &root.node,
            seat: Seat {
                document,
                root: number,
                base: Vec::new(),
            },
            duplicates: &root.duplicates,
            file,
            offset,
            assumed: None,
        });
    }

    /// A finding about a place in a file where no object is known.
    pub fn in_file(&mut self, file: usize, at: usize, found: &str, fix: &str) {
        if let Some(file) = self.locations.file(file) {
            self.diagnostics
                .push(findings::in_file(&file, at, found, fix));
        }
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
        self.in_file(
            sheet.file,
            sheet.offset + sheet.node.span.start,
            "it has neither apiVersion nor kind, so it is no object; it is skipped",
            "Give both, or move the file out of the folder.",
        );
        // A folder may well hold other files, such as a chart's values.
        if let Some(last) = self.diagnostics.last_mut() {
            last.severity = crate::model::diagnostics::Severity::Warning;
        }
    }

    fn half_an_object(&mut self, sheet: &Sheet<'_>, missing: &str) {
        self.in_file(
            sheet.file,
            sheet.offset + sheet.node.span.start,
            &format!("it has no {missing} that is a string"),
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
                self.count += 1;
                let object = self.name_of(sheet, *kind);
                if let Some(object) = object {
                    self.diagnostics
                        .push(findings::wrong_version(&object, version, wanted));
                    self.locations.add_object(object, sheet.seat.clone());
                }
            }
            Some(_) => self.skip(format!("{kind}.{group}")),
            None => self.skip(kind.to_owned()),
        }
    }

    fn skip(&mut self, kind: String) {
        // A hostile name must not reach a terminal.
        let kind = kind.chars().filter(|c| !c.is_control()).take(80).collect();
        *self.skipped.entry(kind).or_default() += 1;
    }

    fn take_items(&mut self, list: &Sheet<'_>, items: &[Node<'_>], version: &str, kind: &str) {
        let own = list.duplicates.iter();
        for twice in own.filter(|d| d.path.len() == list.seat.base.len() + 1) {
            self.in_file(
                list.file,
                list.offset + twice.second.start,
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
                file: list.file,
                offset: list.offset,
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
                self.in_file(sheet.file, sheet.offset + at, &bad.found, &bad.fix);
                None
            }
        }
    }

    fn take_object(&mut self, sheet: &Sheet<'_>, kind: Kind) {
        self.count += 1;
        let Some(object) = self.name_of(sheet, kind) else {
            return;
        };
        let earlier = self.locations.beginning(&object);
        self.locations
            .add_object(object.clone(), sheet.seat.clone());
        if let Some(earlier) = earlier {
            let here = self.locations.beginning(&object).unwrap_or_default();
            self.diagnostics
                .push(findings::defined_twice(&object, &earlier, &here));
        }
        let repeated = self.repeated_keys(sheet, &object);
        let taken = self.decoded(sheet, &object);
        match taken {
            Some(taken) if !repeated => {
                self.objects.insert(object, taken);
            }
            // The later one counts, even where it cannot be used: what is applied last stays.
            _ => {
                self.objects.remove(&object);
            }
        }
    }

    /// Tells of every key of the object that stands twice; whether there is one.
    fn repeated_keys(&mut self, sheet: &Sheet<'_>, object: &ObjectRef) -> bool {
        let base = &sheet.seat.base;
        let own = sheet.duplicates.iter().filter_map(|d| {
            let rest = d.path.strip_prefix(base.as_slice())?;
            Some((rest, d))
        });
        let Some(file) = self.locations.file(sheet.file) else {
            return false;
        };
        let before = self.diagnostics.len();
        self.diagnostics.extend(own.map(|(path, duplicate)| {
            let line = |at: usize| file.line_and_column(sheet.offset + at).0;
            let (first, second) = (line(duplicate.first.start), line(duplicate.second.start));
            findings::key_twice(object, &field_path(path), first, second)
        }));
        self.diagnostics.len() > before
    }

    fn decoded(&mut self, sheet: &Sheet<'_>, object: &ObjectRef) -> Option<Object> {
        let object = match object.kind {
            Kind::Ingress => {
                let mut ingress: Ingress = self.typed(sheet, object)?;
                prune(&mut ingress.metadata);
                Object::Ingress(Box::new(ingress))
            }
            Kind::IngressClass => {
                let mut class: IngressClass = self.typed(sheet, object)?;
                prune(&mut class.metadata);
                Object::Class(Box::new(class))
            }
            Kind::Service => {
                let mut service: Service = self.typed(sheet, object)?;
                prune(&mut service.metadata);
                Object::Service(Box::new(service))
            }
            Kind::EndpointSlice => {
                let mut slice: EndpointSlice = self.typed(sheet, object)?;
                prune(&mut slice.metadata);
                let labels = slice.metadata.labels.as_ref();
                if labels.is_none_or(|labels| !labels.contains_key(SERVICE_NAME_LABEL)) {
                    self.diagnostics
                        .push(findings::slice_without_service(object));
                }
                Object::Slice(Box::new(slice))
            }
            Kind::Secret => Object::Secret(Box::new(self.secret(sheet, object)?)),
            _ => return None,
        };
        Some(object)
    }

    fn typed<'a, T: serde::Deserialize<'a>>(
        &mut self,
        sheet: &Sheet<'a>,
        object: &ObjectRef,
    ) -> Option<T> {
        self.decode_node(sheet, sheet.node, object)
    }

    fn decode_node<'a, T: serde::Deserialize<'a>>(
        &mut self,
        sheet: &Sheet<'_>,
        node: &'a Node<'a>,
        object: &ObjectRef,
    ) -> Option<T> {
        let decoded = decode::<T>(node);
        let unknown = decoded.unknown.iter();
        self.diagnostics
            .extend(unknown.map(|path| findings::unknown_field(object, &field_path(path))));
        match decoded.result {
            Ok(value) => Some(value),
            Err(refusal) => {
                let file = self.locations.file(sheet.file);
                let span = refusal.span.start + sheet.offset..refusal.span.end + sheet.offset;
                let written = file.as_ref().and_then(|file| file.text().get(span));
                self.diagnostics
                    .push(findings::refused(object, &refusal, written));
                None
            }
        }
    }

    fn secret(&mut self, sheet: &Sheet<'_>, object: &ObjectRef) -> Option<Secret> {
        let mut node = sheet.node.clone();
        names::unwrap_base64(&mut node);
        let mut secret: Secret = self.decode_node(sheet, &node, object)?;
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
