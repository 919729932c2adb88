//! One new Ingress, step by step in this process: what a build of all the manifests costs, and what
//! the agent does with it before it speaks to the proxy. CPU time, which a busy machine changes little.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;
use vigie::agent::directory::Directory;
use vigie::agent::resolve::{ResolveOptions, Resolver};
use vigie::plan::plan;
use vigie::render::{Bundle, Capabilities, Placement, ProxyKind, render};
use vigie::source::folder::watch::watch;
use vigie::source::folder::{Folder, Manifests as Files};
use vigie::source::stand_in::stand_in;
use vigie::standalone::build;
use vigie::translate::Memo;

use crate::manifests::{Manifests, Route};
use crate::shared;
use crate::usage::cpu;

const ROUNDS: usize = 5;

/// A route beyond all others.
const NEW: usize = 90_001;

/// How long it takes until a change of one small file is noticed and read, in milliseconds: this is
/// the wait for quiet, for there is next to nothing to read.
pub fn debounce() -> f64 {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let runtime = runtime();
    let files = Files::open(&[folder.path().to_owned()]).expect("the folder is there");
    let mut folders = watch(files).expect("it can be watched");
    let mut times = Vec::new();
    for round in 0..2 * ROUNDS {
        let start = Instant::now();
        let beside = folder.path().join(".beside");
        fs::write(&beside, format!("# {round}\n")).expect("a file");
        fs::rename(beside, folder.path().join("a.yaml")).expect("a file");
        runtime.block_on(folders.changed()).expect("it is watched");
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[ROUNDS]
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

/// Steps and what they took.
#[derive(Default)]
struct Steps(Vec<(&'static str, Vec<Duration>)>);

impl Steps {
    fn time<T>(&mut self, name: &'static str, step: impl FnOnce() -> T) -> T {
        let before = cpu(UsageWho::RUSAGE_SELF);
        let made = black_box(step());
        let took = cpu(UsageWho::RUSAGE_SELF) - before;
        match self.0.iter_mut().find(|(of, _)| *of == name) {
            Some((_, times)) => times.push(took),
            None => self.0.push((name, vec![took])),
        }
        made
    }
}

pub fn print(proxy: ProxyKind, manifests: &Manifests) {
    let mut steps = Steps::default();
    let runtime = runtime();
    let state = tempfile::tempdir().expect("a temporary directory");
    let mut directory = Directory::open(state.path()).expect("a directory");
    let (names, _problems) = tokio::sync::mpsc::unbounded_channel();
    let entered = runtime.enter();
    let mut resolver = Resolver::start(ResolveOptions::default(), names);
    drop(entered);
    let mut build = Build::new(proxy, manifests);
    let old = build.again(&mut Steps::default());
    let staged = directory.stage(&old).expect("a generation");
    directory.swap(staged).expect("a generation");
    for _ in 0..ROUNDS {
        manifests.write(Route::of(NEW));
        let new = build.again(&mut steps);
        let new = steps.time("fill", || runtime.block_on(resolver.fill(&new)));
        let differs = steps.time("plan", || plan(&old, &new));
        match proxy {
            // Loaded as it runs: single files are replaced.
            ProxyKind::Haproxy => {
                let files = differs.files(&new);
                let replaced = steps.time("files", || directory.replace(&files, &new));
                replaced.expect("files can be replaced");
                directory.replace(&files, &old).expect("and back");
            }
            ProxyKind::Nginx => {
                let staged = steps.time("files", || directory.stage(&new));
                directory
                    .discard(staged.expect("a generation"))
                    .expect("it goes");
            }
        }
        manifests.remove(NEW);
        build.again(&mut Steps::default());
    }
    let medians = steps.0.into_iter().map(|(name, mut times)| {
        times.sort();
        format!("{name} {:.1}", times[ROUNDS / 2].as_secs_f64() * 1e3)
    });
    let medians: Vec<String> = medians.collect();
    println!(
        "CPU of a whole build with one new Ingress: {}",
        medians.join(", ")
    );
}

/// Builds as `vigie run` does: what has not changed is not read again, what is known not judged again.
struct Build {
    files: Files,
    capabilities: Capabilities,
    folder: Folder,
    memo: Memo,
}

impl Build {
    fn new(proxy: ProxyKind, manifests: &Manifests) -> Self {
        let files = Files::open(&[manifests.path().to_owned()]).expect("the folder is there");
        Self {
            folder: files.read(),
            files,
            capabilities: Capabilities::assumed(proxy),
            memo: Memo::default(),
        }
    }

    fn again(&mut self, steps: &mut Steps) -> std::sync::Arc<Bundle> {
        self.folder = steps.time("read", || self.files.reread(&self.folder));
        let options = shared::options();
        let model = steps.time("translate", || {
            let (snapshot, _) = stand_in(&self.folder.snapshot, &[]);
            build(&snapshot, &options, &self.capabilities, &mut self.memo).model
        });
        let bundle = steps.time("render", || {
            render(&model, &self.capabilities, &placement())
        });
        bundle.into()
    }
}

fn placement() -> Placement {
    let address = |port| vec![std::net::SocketAddr::from(([127, 0, 0, 1], port))];
    let resolvers = (0..64).map(|i| ([127, 0, 0, 1], 20_000 + i).into());
    Placement {
        http: address(18_080),
        https: address(18_443),
        resolvers: resolvers.collect(),
        https_redirect_port: None,
    }
}
