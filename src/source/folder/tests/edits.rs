//! A folder that is read again after edits is the folder that is read at once.

use std::sync::Arc;

use super::*;

/// Documents that meet: of the same objects, in other versions, in lists, broken, blank.
const DOCUMENTS: &[&str] = &[
    INGRESS,
    "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: shop}\n",
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: shop}\nspec: 3\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {clusterIP: None, clusterIP: x}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {unknown: 1}\n",
    "{apiVersion: v1, kind: Service, metadata: {name: api}}\n",
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: api}}\n- {apiVersion: v1, kind: Service, metadata: {name: other}}\n",
    "{\"apiVersion\":\"v1\",\"kind\":\"ServiceList\",\"items\":[\n\t{\"metadata\":{\"name\":\"other\"}}]}\n",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, endpoints: [], metadata: {name: s, labels: {kubernetes.io/service-name: api}}}\n",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, endpoints: [], metadata: {name: s, labels: {kubernetes.io/service-name: other}}}\n",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, endpoints: [], metadata: {name: s}}\n",
    "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: '!hush'}}\n",
    "{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: c, namespace: n}}\n",
    "{apiVersion: apps/v1, kind: Deployment}\n",
    "a: [\n",
    "a: 1\n",
    "\n",
    "# é\n",
];

const NAMES: [&str; 4] = ["a.yaml", "b.yaml", "c.yaml", "d.yaml"];

#[derive(Clone, Debug)]
enum Edit {
    Write(usize, Vec<usize>),
    Insert(usize, usize, usize),
    Remove(usize, usize),
    Delete(usize),
    Swap(usize, usize),
    Break(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let (file, document, at) = (0..NAMES.len(), 0..DOCUMENTS.len(), 0..6usize);
    let documents = prop::collection::vec(document.clone(), 0..6);
    prop_oneof![
        (file.clone(), documents).prop_map(|(file, all)| Edit::Write(file, all)),
        (file.clone(), at.clone(), document).prop_map(|(f, at, d)| Edit::Insert(f, at, d)),
        (file.clone(), at).prop_map(|(f, at)| Edit::Remove(f, at)),
        file.clone().prop_map(Edit::Delete),
        (file.clone(), file.clone()).prop_map(|(a, b)| Edit::Swap(a, b)),
        file.prop_map(Edit::Break),
    ]
}

/// The documents of each file that is there.
type State = [Option<Vec<usize>>; NAMES.len()];

fn apply(state: &mut State, edit: &Edit) {
    let unreadable = usize::MAX;
    match edit {
        Edit::Write(file, documents) => state[*file] = Some(documents.clone()),
        Edit::Insert(file, at, document) => {
            let documents = state[*file].get_or_insert_default();
            documents.insert(documents.len().min(*at), *document);
        }
        Edit::Remove(file, at) => {
            if let Some(documents) = &mut state[*file]
                && *at < documents.len()
            {
                documents.remove(*at);
            }
        }
        Edit::Delete(file) => state[*file] = None,
        Edit::Swap(a, b) => state.swap(*a, *b),
        Edit::Break(file) => state[*file] = Some(vec![unreadable]),
    }
}

fn files(state: &State) -> Vec<File> {
    let named = NAMES.iter().zip(state);
    let there = named.filter_map(|(name, documents)| Some((name, documents.as_ref()?)));
    let text = |document: &usize| match DOCUMENTS.get(*document) {
        Some(text) => format!("---\n{text}").into_bytes(),
        None => b"---\n\xff".to_vec(),
    };
    there
        .map(|(name, all)| file(name, all.iter().flat_map(text).collect::<Vec<u8>>()))
        .collect()
}

/// Everything that a folder says.
#[track_caller]
fn check_same(again: &Folder, at_once: &Folder) {
    assert_eq!(again.snapshot, at_once.snapshot);
    assert_eq!(findings(again), findings(at_once));
    assert_eq!(again.diagnostics, at_once.diagnostics);
    assert_eq!(again.skipped, at_once.skipped);
    assert_eq!(again.objects, at_once.objects);
    assert_eq!(again.repeated, at_once.repeated);
    let kinds = [Kind::Ingress, Kind::Service, Kind::EndpointSlice];
    let names = ["shop", "api", "other", "s"];
    let objects = kinds.into_iter().flat_map(|kind| {
        names.map(|name| {
            Origin::new(
                ObjectRef::new(kind, "default", name),
                FieldPath::new("metadata.name"),
            )
        })
    });
    let told = at_once.diagnostics.iter().map(|d| d.origin.clone());
    for Origin { object, field } in objects.chain(told) {
        let places = [again, at_once].map(|folder| folder.locations.locate(&object, &field));
        assert_eq!(places[0], places[1], "{object} {field}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_folder_read_again_after_edits_is_the_one_read_at_once(
        edits in prop::collection::vec(edit(), 1..12),
        asked in any::<bool>(),
    ) {
        let mut state = State::default();
        let mut folder = Folder::default();
        for edit in &edits {
            apply(&mut state, edit);
            let files = files(&state);
            folder = folder.reread(files.clone());
            // Places that somebody has asked for are kept with their documents.
            if asked {
                locate_all(&folder);
            }
            check_same(&folder, &Folder::of(files));
        }
    }
}

#[test]
fn an_object_that_has_not_changed_stays_the_same_in_memory() {
    let service = |name: &str, rest: &str| {
        format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n{rest}")
    };
    let text = |rest: &str| [service("a", ""), service("b", rest), service("c", "")].concat();
    let before = Folder::of(vec![file("a.yaml", text("")), file("b.yaml", INGRESS)]);
    let after = before.reread(vec![
        file("a.yaml", text("spec: {}\n")),
        file("b.yaml", INGRESS),
    ]);
    let same = |name: &str| {
        let name = crate::snapshot::ObjectName::new("default", name);
        let of = |folder: &Folder| folder.snapshot.services[&name].clone();
        Arc::ptr_eq(&of(&before), &of(&after))
    };
    assert_eq!(["a", "b", "c"].map(same), [true, false, true]);
    assert!(Arc::ptr_eq(
        &before.snapshot.ingresses,
        &after.snapshot.ingresses
    ));
}

#[test]
fn a_file_that_has_only_just_changed_is_read_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.yaml");
    let manifests = Manifests::open(&[dir.path().to_owned()]).expect("it is there");
    let mut folder = manifests.read();
    for host in ["a", "b", "c", "d"] {
        let ingress = INGRESS.replace("shop.example.com", &format!("{host}hop.example.com"));
        std::fs::write(&path, &ingress).expect("written");
        folder = manifests.reread(&folder);
        check_same(&folder, &manifests.read());
        assert_eq!(folder.snapshot, read(ingress).snapshot);
    }
}
