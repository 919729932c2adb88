//! No bytes stop the reader of manifests, every finding has a place, and a good document before them
//! stays as it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie::source::folder::{File, Folder};

const GOOD: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: good, namespace: good}\n---\n";

fuzz_target!(|bytes: &[u8]| {
    let read = |content: Vec<u8>| {
        Folder::of(vec![File {
            name: "a.yaml".into(),
            content: Ok(content),
        }])
    };
    let folder = read(bytes.to_vec());
    for finding in &folder.diagnostics {
        let origin = &finding.origin;
        assert!(
            folder
                .locations
                .locate(&origin.object, &origin.field)
                .is_some()
        );
    }
    if std::str::from_utf8(bytes).is_ok() {
        let both = read([GOOD.as_bytes(), bytes].concat());
        let (alone, both) = (folder.snapshot.services.len(), both.snapshot.services.len());
        assert!(both == alone + 1 || both == alone);
    }
});
