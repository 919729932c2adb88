//! Doing again only what has changed gives what doing all of it gives.

use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use vigie::model::Model;
use vigie::render::{Capabilities, ProxyKind, render, render_endpoints};
use vigie::snapshot::Snapshot;
use vigie::source::folder::{File, Folder};
use vigie::translate::{Memo, new_endpoints, translate, translate_with};

use super::{of_all_cases, rounds, shuffled};
use crate::case;

/// A folder of many files that is edited: each state has other documents of all cases, some of them
/// in other files.
fn states() -> impl Iterator<Item = Vec<File>> {
    let documents = of_all_cases();
    (1..=u64::from(rounds(8))).map(move |seed| {
        let mut kept = shuffled(&documents, seed);
        kept.truncate(kept.len() * (seed as usize % 4 + 1) / 4);
        kept.sort();
        let file = |(number, chunk): (usize, &[String])| File {
            name: format!("{number}.yaml"),
            content: Ok(chunk.concat().into_bytes()),
        };
        kept.chunks(20).enumerate().map(file).collect()
    })
}

#[test]
fn a_folder_that_is_read_again_and_built_with_a_memo_gives_the_same_as_one_that_is_not() {
    let options = case::usual_options();
    let (mut folder, mut memo) = (Folder::default(), Memo::default());
    for files in states() {
        folder = folder.reread(files.clone());
        let fresh = Folder::of(files);
        assert!(folder.snapshot == fresh.snapshot);
        assert_eq!(folder.diagnostics, fresh.diagnostics);
        let expected = translate(&fresh.snapshot, &options);
        // The second time all that the memo can have is in it.
        for _ in 0..2 {
            let found = translate_with(&folder.snapshot, &options, &mut memo);
            assert!(found == expected, "something differs");
        }
    }
}

#[test]
fn every_case_is_the_same_with_the_memo_of_another() {
    let mut memo = Memo::default();
    for case in case::all() {
        let snapshot = case.snapshot();
        let options = case.options();
        let expected = translate(&snapshot, &options);
        for _ in 0..2 {
            let found = translate_with(&snapshot, &options, &mut memo);
            assert!(found == expected, "{}", case.name);
        }
    }
}

/// What may become of a slice, as the endpoint controller writes it and as nobody should.
const EDITS: [fn(&mut EndpointSlice); 5] = [
    |slice| slice.endpoints.truncate(1),
    |slice| slice.endpoints.clear(),
    |slice| {
        slice.endpoints.push(Endpoint {
            addresses: vec!["10.9.9.9".to_owned(), "fd00::9".to_owned()],
            ..Endpoint::default()
        });
    },
    |slice| {
        for endpoint in &mut slice.endpoints {
            endpoint.conditions = Some(EndpointConditions {
                ready: Some(false),
                serving: Some(true),
                terminating: Some(true),
            });
        }
    },
    |slice| {
        slice
            .ports
            .iter_mut()
            .flatten()
            .for_each(|port| port.port = Some(7))
    },
];

/// The snapshot with one slice in another state, for each slice and state; at last it is gone.
fn with_other_slices(snapshot: &Snapshot) -> Vec<Snapshot> {
    let mut all = Vec::new();
    for slice in snapshot.slices.values().flat_map(|slices| slices.values()) {
        for edit in EDITS {
            let mut other = EndpointSlice::clone(slice);
            edit(&mut other);
            let mut edited = snapshot.clone();
            edited.add_slice(other);
            all.push(edited);
        }
        let mut without = snapshot.clone();
        without.remove(&vigie::snapshot::Object::Slice(slice.clone()));
        all.push(without);
    }
    all
}

#[test]
fn endpoints_that_change_alone_give_what_a_whole_build_gives() {
    let (mut followed, mut left_to_builds) = (0, 0);
    for case in case::all() {
        let (mut before, options) = (case.snapshot(), case.options());
        let mut memo = Memo::default();
        let mut built = translate_with(&before, &options, &mut memo);
        for now in with_other_slices(&before.clone()) {
            let model = Arc::new(built.model.clone());
            let whole = translate(&now, &options);
            match new_endpoints(&model, &before, &now, &mut memo) {
                Some(new) => {
                    followed += 1;
                    assert!(*new.model == whole.model, "{}", case.name);
                    assert_eq!(built.diagnostics, whole.diagnostics, "{}", case.name);
                    for proxy in ProxyKind::ALL {
                        let (of, at) = (Capabilities::assumed(proxy), case::placement());
                        let bundle = render(&built.model, &of, &at);
                        let bundle =
                            render_endpoints(&bundle, &new.model, &new.upstreams, &of, &at);
                        assert!(bundle == render(&whole.model, &of, &at), "{}", case.name);
                    }
                    built.model = Model::clone(&new.model);
                }
                None => {
                    left_to_builds += 1;
                    built = translate_with(&now, &options, &mut memo);
                }
            }
            before = now;
        }
    }
    assert!(
        followed > 500 && left_to_builds > 50,
        "{followed}, {left_to_builds}"
    );
}
