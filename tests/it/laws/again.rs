//! Doing again only what has changed gives what doing all of it gives.

use vigie::source::folder::{File, Folder};
use vigie::translate::{Memo, translate, translate_with};

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
