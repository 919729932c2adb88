use std::path::Path;
use std::time::Duration;

use super::super::watch::watch;
use super::*;

fn service(name: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n")
}

/// Waits until the Services are these.
async fn wait_for(
    receiver: &mut tokio::sync::watch::Receiver<std::sync::Arc<Folder>>,
    expect: &[&str],
) {
    let there = receiver.wait_for(|folder| {
        let names: Vec<_> = folder.snapshot.service_names("default").collect();
        names == expect
    });
    let waited = tokio::time::timeout(Duration::from_secs(20), there).await;
    assert!(waited.is_ok(), "never saw {expect:?}");
}

fn open(path: &Path) -> tokio::sync::watch::Receiver<std::sync::Arc<Folder>> {
    let manifests = Manifests::open(&[path.to_owned()]).expect("it is there");
    watch(manifests).expect("it can be watched")
}

#[tokio::test]
async fn changes_arrive_and_equal_content_does_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.yaml");
    std::fs::write(&path, service("a")).expect("written");
    let mut receiver = open(dir.path());
    wait_for(&mut receiver, &["a"]).await;
    std::fs::create_dir(dir.path().join("below")).expect("made");
    std::fs::write(dir.path().join("below/b.yml"), service("b")).expect("written");
    wait_for(&mut receiver, &["a", "b"]).await;
    std::fs::write(&path, service("a")).expect("written");
    let same = tokio::time::timeout(Duration::from_millis(400), receiver.changed()).await;
    assert!(same.is_err(), "equal content woke somebody");
    std::fs::remove_file(&path).expect("removed");
    wait_for(&mut receiver, &["b"]).await;
}

#[tokio::test]
async fn a_mounted_config_map_is_swapped_as_a_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let mount = |version: &str, name: &str| {
        let inner = dir.path().join(version);
        std::fs::create_dir(&inner).expect("made");
        std::fs::write(inner.join("a.yaml"), service(name)).expect("written");
        let fresh = dir.path().join("..data_tmp");
        std::os::unix::fs::symlink(version, &fresh).expect("linked");
        std::fs::rename(&fresh, dir.path().join("..data")).expect("renamed");
    };
    mount("..1", "one");
    std::os::unix::fs::symlink("..data/a.yaml", dir.path().join("a.yaml")).expect("linked");
    let mut folder = open(dir.path());
    let mut file = open(&dir.path().join("a.yaml"));
    wait_for(&mut folder, &["one"]).await;
    mount("..2", "two");
    wait_for(&mut folder, &["two"]).await;
    wait_for(&mut file, &["two"]).await;
}

#[tokio::test]
async fn a_folder_that_was_removed_is_watched_again_when_it_is_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("manifests");
    std::fs::create_dir(&path).expect("made");
    std::fs::write(path.join("a.yaml"), service("a")).expect("written");
    let mut receiver = open(&path);
    std::fs::remove_dir_all(&path).expect("removed");
    wait_for(&mut receiver, &[]).await;
    std::fs::create_dir(&path).expect("made");
    std::fs::write(path.join("a.yaml"), service("b")).expect("written");
    wait_for(&mut receiver, &["b"]).await;
    std::fs::write(path.join("a.yaml"), service("c")).expect("written");
    wait_for(&mut receiver, &["c"]).await;
}

#[test]
fn hidden_folders_and_other_files_are_not_read() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join(".git")).expect("made");
    for name in [".git/a.yaml", ".b.yaml", "c.txt", "d.json", "e.yaml"] {
        std::fs::write(dir.path().join(name), "").expect("written");
    }
    std::os::unix::fs::symlink("nowhere", dir.path().join("f.yaml")).expect("linked");
    let manifests = Manifests::open(&[dir.path().to_owned()]).expect("it is there");
    let names: Vec<_> = manifests
        .files()
        .into_iter()
        .map(|f| {
            (
                f.name.rsplit('/').next().unwrap_or_default().to_owned(),
                f.content.is_ok(),
            )
        })
        .collect();
    let expect = [("d.json", true), ("e.yaml", true), ("f.yaml", false)];
    assert_eq!(names, expect.map(|(name, ok)| (name.to_owned(), ok)));
}
