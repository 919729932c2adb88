use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use super::directory::Directory;
use crate::model::PrivatePem;
use crate::render::bundle::FileText;

fn files<'a>(names: &[&'a str]) -> BTreeMap<&'a str, FileText> {
    let text = |name: &&'a str| {
        let text = if name.ends_with(".pem") {
            FileText::Private(PrivatePem::new("key"))
        } else {
            FileText::Public("text".into())
        };
        (*name, text)
    };
    names.iter().map(text).collect()
}

#[test]
fn a_second_render_replaces_the_first_and_leaves_other_files_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("new/out");
    let write = |names: &[&str]| {
        let target = Directory::claim(&out).expect("it may be written");
        target.write(&files(names)).expect("it is written");
    };
    write(&["a.conf", "certs/a.pem"]);
    let mode = |name: &str| {
        std::fs::metadata(out.join(name))
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("certs/a.pem"), mode("a.conf") & 0o600),
        (0o600, 0o600)
    );
    std::fs::write(out.join("mine"), "").expect("written");
    write(&["b.conf"]);
    let there = |name: &str| out.join(name).exists();
    assert!(there("b.conf") && there("mine"));
    assert!(!there("a.conf") && !there("certs/a.pem"));
}

#[test]
fn a_folder_with_other_files_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("mine"), "").expect("written");
    let error = Directory::claim(dir.path()).err().expect("it is refused");
    assert!(
        error
            .to_string()
            .contains("is not empty and was not written by `vigie render`")
    );
}

#[test]
fn no_file_leads_out_of_the_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let target = Directory::claim(dir.path()).expect("it may be written");
    for name in ["../a", "/a", "a/../../b", ""] {
        assert!(target.write(&files(&[name])).is_err(), "{name} was written");
    }
}
