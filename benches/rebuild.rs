//! What one small change costs beside a cold build: of a folder of manifests one Ingress is edited,
//! the folder is read again and translated again. Prints CPU time and ratios of one run; asserts
//! nothing.
//!
//! `cargo bench --bench rebuild`

mod estate;
mod shared;
mod usage;

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::UsageWho;
use vigie::snapshot::Snapshot;
use vigie::source::folder::Manifests;
use vigie::translate::{Memo, translate_with};

use usage::cpu;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const ROUNDS: usize = 5;
const SETTLED: Duration = Duration::from_millis(3_100);

fn main() {
    for features in [false, true] {
        let kind = if features { "with features" } else { "plain" };
        println!(
            "\n== {kind} Ingresses, each with Service, EndpointSlice and, one in five, Secret"
        );
        for size in SIZES {
            let each = manifests(&estate::estate(size, features));
            for files in [1, 100, size] {
                measure(&each, files);
            }
        }
    }
}

/// Two builds of so many files, before and after an edit.
fn measure(each: &[String], files: usize) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let chunks = each.chunks(each.len().div_ceil(files)).enumerate();
    let paths: Vec<PathBuf> = chunks
        .map(|(number, chunk)| write(folder.path(), number, chunk))
        .collect();
    let manifests = Manifests::open(&[folder.path().to_owned()]).expect("it is there");
    // A file that has only just been written is read again at any rate.
    std::thread::sleep(SETTLED);
    let edited = &paths[paths.len() / 2];
    let text = fs::read_to_string(edited).expect("a manifest");
    let mut colds = Vec::new();
    let mut changes = Vec::new();
    for round in 0..ROUNDS {
        let mut options = shared::options();
        let start = cpu(UsageWho::RUSAGE_SELF);
        let folder = black_box(manifests.read());
        let read = cpu(UsageWho::RUSAGE_SELF);
        let mut memo = Memo::default();
        let translation = black_box(translate_with(&folder.snapshot, &options, &mut memo));
        colds.push((read - start, cpu(UsageWho::RUSAGE_SELF) - read));
        options.memory = translation.memory;
        let text = text.replacen("host: ", "host: new-", (round + 1) % 2);
        fs::write(edited, text).expect("written");
        let start = cpu(UsageWho::RUSAGE_SELF);
        let folder = black_box(manifests.reread(&folder));
        let read = cpu(UsageWho::RUSAGE_SELF);
        black_box(translate_with(&folder.snapshot, &options, &mut memo));
        changes.push((read - start, cpu(UsageWho::RUSAGE_SELF) - read));
    }
    let (cold, change) = (median(colds), median(changes));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let total = |(read, translate): (Duration, Duration)| read + translate;
    println!(
        "{:6} in {:6} files: cold {:7.1} + {:7.1} ms, one change {:7.1} + {:7.1} ms (read + translate): {:5.1} % of cold",
        each.len(),
        paths.len(),
        milliseconds(cold.0),
        milliseconds(cold.1),
        milliseconds(change.0),
        milliseconds(change.1),
        100.0 * total(change).as_secs_f64() / total(cold).as_secs_f64(),
    );
}

fn write(folder: &Path, number: usize, documents: &[String]) -> PathBuf {
    let path = folder.join(format!("{number:05}.yaml"));
    fs::write(&path, documents.concat()).expect("written");
    path
}

fn median(mut rounds: Vec<(Duration, Duration)>) -> (Duration, Duration) {
    rounds.sort_by_key(|(read, translate)| *read + *translate);
    rounds[rounds.len() / 2]
}

/// The objects of each Ingress together, as documents of YAML.
fn manifests(estate: &Snapshot) -> Vec<String> {
    fn document<T: serde::Serialize>(object: &Arc<T>) -> String {
        format!(
            "---\n{}",
            serde_saphyr::to_string(object.as_ref()).expect("it is YAML")
        )
    }
    let each = estate.ingresses.iter().map(|(name, ingress)| {
        let service = estate.services.get(name).map(document);
        let secret = estate.secrets.get(name).map(document);
        let slices = estate.slices_of(name).map(document);
        let beside = service.into_iter().chain(slices).chain(secret);
        std::iter::once(document(ingress)).chain(beside).collect()
    });
    each.collect()
}
