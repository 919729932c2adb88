use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::bundles::nginx;
use super::*;
use crate::model::PrivatePem;
use crate::render::bundle::Content;

fn sample() -> Bundle {
    let mut bundle = nginx("127.0.0.1:1".parse().unwrap(), None, "# one", "one");
    let pem = Content::Private(PrivatePem::new("key"));
    bundle.structure.insert("certs/a.pem".into(), pem);
    bundle
}

fn changed(bundle: &Bundle) -> Bundle {
    let mut changed = bundle.clone();
    let text = Content::Text("# two\n".into());
    changed.structure.insert("hosts/00.conf".into(), text);
    changed
}

#[test]
fn a_swap_shows_all_of_a_bundle_and_rewrites_only_what_changed() {
    let temporary = tempfile::tempdir().unwrap();
    let mut directory = Directory::open(temporary.path()).unwrap();
    let current = directory.current();
    let inode = |file: &str| fs::metadata(current.join(file)).unwrap().ino();

    let first = sample();
    let staged = directory.stage(&first.clone().into()).unwrap();
    assert!(!current.exists());
    directory.swap(staged).unwrap();
    let mode = fs::metadata(current.join("certs/a.pem")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::canonicalize(current.join("run")).unwrap(),
        fs::canonicalize(directory.run()).unwrap()
    );

    let (conf, host) = (inode("nginx.conf"), inode("hosts/00.conf"));
    let staged = directory.stage(&changed(&first).into()).unwrap();
    assert!(
        !fs::read_to_string(current.join("hosts/00.conf"))
            .unwrap()
            .contains("two")
    );
    directory.swap(staged).unwrap();
    assert_eq!(inode("nginx.conf"), conf);
    assert_ne!(inode("hosts/00.conf"), host);

    directory.revert().unwrap();
    assert_eq!(inode("hosts/00.conf"), host);
    directory.settle().unwrap();
    let entries = fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(entries, 3, "current, its generation, run");
}

#[test]
fn a_replaced_file_keeps_its_mode_and_leaves_the_others_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let mut directory = Directory::open(temporary.path()).unwrap();
    let mut bundle = sample();
    let staged = directory.stage(&bundle.clone().into()).unwrap();
    directory.swap(staged).unwrap();
    let pem = Content::Private(PrivatePem::new("new key"));
    bundle.structure.insert("certs/a.pem".into(), pem);
    let file = "certs/a.pem";
    let names = [file].into();
    directory.replace(&names, &bundle.clone().into()).unwrap();
    let path = directory.current().join(file);
    assert_eq!(fs::read_to_string(&path).unwrap(), "new key");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    bundle.structure.remove(file);
    let names = [file].into();
    directory.replace(&names, &bundle.clone().into()).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_certificate_that_goes_stays_until_the_proxy_has_followed() {
    let temporary = tempfile::tempdir().unwrap();
    let mut directory = Directory::open(temporary.path()).unwrap();
    let first = Arc::new(sample());
    let mut without = sample();
    without.structure.remove("certs/a.pem");
    let without = Arc::new(without);
    let path = directory.current().join("certs/a.pem");
    for bundle in [&first, &without] {
        let staged = directory.stage(bundle).unwrap();
        directory.swap(staged).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "key");
    }
    directory.settle().unwrap();
    assert!(!path.exists());
    let staged = directory.stage(&first).unwrap();
    directory.swap(staged).unwrap();
    directory.revert().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_replacement_that_fails_half_way_can_be_taken_back() {
    let temporary = tempfile::tempdir().unwrap();
    let mut directory = Directory::open(temporary.path()).unwrap();
    let old = Arc::new(sample());
    let staged = directory.stage(&old).unwrap();
    directory.swap(staged).unwrap();
    let mut new = changed(&old);
    let text = Content::Text("cannot take the place of a folder".into());
    new.structure.insert("in-the-way".into(), text);
    let in_the_way = directory.current().join("in-the-way");
    fs::create_dir(&in_the_way).unwrap();
    let names = ["hosts/00.conf", "in-the-way"].into();
    assert!(directory.replace(&names, &new.into()).is_err());
    let host = directory.current().join("hosts/00.conf");
    assert_eq!(fs::read_to_string(&host).unwrap(), "# two\n");
    directory.replace(&names, &old).unwrap();
    assert_ne!(fs::read_to_string(&host).unwrap(), "# two\n");
    assert!(!in_the_way.exists());
}

#[test]
fn what_an_earlier_owner_left_is_removed_and_nothing_else() {
    let temporary = tempfile::tempdir().unwrap();
    let mut directory = Directory::open(temporary.path()).unwrap();
    let staged = directory.stage(&sample().into()).unwrap();
    directory.swap(staged).unwrap();
    fs::write(temporary.path().join("notes.txt"), "mine").unwrap();
    drop(directory);
    let directory = Directory::open(temporary.path()).unwrap();
    assert!(!directory.current().exists());
    let entries = fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(entries, 2, "run and notes.txt");
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let mut directory = Directory::open(temporary.path()).unwrap();
    for name in ["../x", "/etc/x", "a/../../x", "run/x", ""] {
        let mut bundle = sample();
        bundle
            .structure
            .insert(name.into(), Content::Text(String::new()));
        let error = directory.stage(&bundle.into()).map(|_| ()).unwrap_err();
        assert!(matches!(error, DirectoryError::UnsafeName(_)), "{name}");
    }
    let entries = fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(entries, 1, "nothing stays of a bundle that was refused");
}

#[test]
fn errors_name_the_act_and_the_path() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Directory::open(&file.join("below"))
        .map(|_| ())
        .unwrap_err();
    let text = chain(&error);
    assert!(text.contains("cannot create the directory"), "{text}");
    assert!(text.contains("file/below"), "{text}");

    let root = temporary.path().join("root");
    let mut directory = Directory::open(&root).unwrap();
    fs::remove_dir_all(&root).unwrap();
    fs::write(&root, "").unwrap();
    let text = chain(&directory.stage(&sample().into()).map(|_| ()).unwrap_err());
    assert!(text.contains("generation-1"), "{text}");

    let long = temporary.path().join("x".repeat(100));
    let text = chain(&Directory::open(&long).map(|_| ()).unwrap_err());
    assert!(text.contains("longer than 80"), "{text}");
}
