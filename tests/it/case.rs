//! A case: a folder of manifests whose name is the sentence that it proves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use jiff::civil::{Date, date};
use vigie::cli::options::BuildOptions;
use vigie::model::Model;
use vigie::model::diagnostics::Diagnostic;
use vigie::render::bundle::FileText;
use vigie::render::{self, Bundle, Capabilities, Placement, ProxyKind};
use vigie::snapshot::Snapshot;
use vigie::source::folder::{File, Folder, Manifests};
use vigie::translate::{Options, Translation, translate};

use crate::support::expect::Expectations;

/// The day on which all cases happen, so that certificates expire alike for ever.
pub const TODAY: Date = date(2026, 11, 24);

/// The flags that change what manifests mean, as every command takes them.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Flags {
    #[command(flatten)]
    build: BuildOptions,
}

pub struct Case {
    pub name: String,
    pub dir: PathBuf,
    pub expect: Expectations,
    pub folder: Folder,
    build: BuildOptions,
}

/// All cases, or those whose name holds `CASE` of the environment, sorted by name.
pub fn all() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let wanted = std::env::var("CASE").unwrap_or_default();
    let mut cases: Vec<Case> = std::fs::read_dir(&root)
        .expect("tests/cases exists")
        .map(|entry| entry.expect("an entry of tests/cases").path())
        .filter(|path| path.is_dir())
        .filter(|path| path.to_string_lossy().contains(&wanted))
        .map(Case::open)
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(
        !cases.is_empty(),
        "no case in {} holds \"{wanted}\"",
        root.display()
    );
    cases
}

/// A case that stands in no folder and expects nothing.
pub fn of_text(manifests: &str) -> Case {
    let file = File {
        name: "manifests.yaml".to_owned(),
        content: Ok(manifests.as_bytes().to_vec()),
    };
    let Flags { build } = Flags::try_parse_from([""; 0]).expect("no option is needed");
    Case {
        name: String::new(),
        dir: PathBuf::new(),
        expect: Expectations::default(),
        folder: Folder::of(vec![file]),
        build,
    }
}

impl Case {
    fn open(dir: PathBuf) -> Self {
        let name = dir
            .file_name()
            .expect("a folder has a name")
            .to_string_lossy()
            .into_owned();
        let expect = Expectations::load(&dir).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Named without their folder, so that golden files read alike on every machine.
        let mut manifests = Manifests::open(std::slice::from_ref(&dir))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .files();
        for file in &mut manifests {
            file.name = file.name.rsplit('/').next().unwrap_or_default().to_owned();
        }
        manifests.retain(|file| file.name != "expect.yaml");
        let Flags { build } = Flags::try_parse_from(&expect.options)
            .unwrap_or_else(|error| panic!("{name}: options: {error}"));
        Self {
            name,
            dir,
            expect,
            folder: Folder::of(manifests),
            build,
        }
    }

    /// What the manifests mean, and everything that is to be told of them.
    pub fn translate(&self) -> (Translation, Vec<Diagnostic>) {
        let (snapshot, of_options) = self.stood_in();
        let mut translation = translate(&snapshot, &self.options());
        let mut findings = self.folder.diagnostics.clone();
        findings.extend(of_options);
        findings.append(&mut translation.diagnostics);
        findings.sort();
        (translation, findings)
    }

    /// What its build reads beside them.
    pub fn options(&self) -> Options {
        self.build.options(TODAY, Some(default_certificate()))
    }

    /// The objects, with stand-ins at their Services' places.
    pub fn snapshot(&self) -> Snapshot {
        self.stood_in().0
    }

    fn stood_in(&self) -> (Snapshot, Vec<Diagnostic>) {
        let stood_in = self.build.stand_in(&self.folder.snapshot);
        stood_in.expect("stand-ins are addresses")
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }
}

/// What a build without any flag reads.
pub fn usual_options() -> Options {
    let flags = Flags::try_parse_from(std::iter::empty::<String>()).expect("no flag is needed");
    flags.build.options(TODAY, Some(default_certificate()))
}

/// Addresses as a cluster has them, so that golden files hold no free port of the day.
pub fn placement() -> Placement {
    Placement {
        http: vec!["0.0.0.0:80".parse().expect("an address")],
        https: vec!["0.0.0.0:443".parse().expect("an address")],
        resolvers: vec!["127.0.0.53:5353".parse().expect("an address")],
        https_redirect_port: None,
    }
}

/// What a case adds to the bundle of an empty model, one file after the other: files that both have
/// alike are left out, so that a case shows what its manifests are rendered to and nothing else.
pub fn printed(model: &Model, proxy: ProxyKind) -> String {
    let capabilities = Capabilities::assumed(proxy);
    let render = |model: &Model| render::render(model, &capabilities, &placement());
    let empty = Model {
        listeners: model.listeners.clone(),
        certificates: model
            .certificates
            .iter()
            .filter(|(id, _)| Some(*id) == model.default_certificate.as_ref())
            .map(|(id, certificate)| (id.clone(), certificate.clone()))
            .collect(),
        default_certificate: model.default_certificate.clone(),
        ..Model::default()
    };
    difference(&render(&empty), &render(model))
}

fn difference(empty: &Bundle, full: &Bundle) -> String {
    let before: BTreeMap<&str, FileText> = empty.files();
    let mut text = String::new();
    for (name, content) in full.files() {
        if before.get(name) == Some(&content) || name.contains("revision") {
            continue;
        }
        let _ = writeln!(text, "# ==== {name}");
        match (&content, before.get(name)) {
            (FileText::Private(_), _) => text.push_str("# a certificate with its key\n"),
            (FileText::Public(now), Some(FileText::Public(before))) => {
                let known: Vec<&str> = before.lines().collect();
                for line in now
                    .lines()
                    .filter(|line| !line.trim().is_empty() && !known.contains(line))
                {
                    let _ = writeln!(text, "{line}");
                }
            }
            (FileText::Public(now), _) => {
                let _ = writeln!(text, "{}", now.trim_end());
            }
        }
    }
    for (name, pool) in &full.pools {
        let endpoints: Vec<String> = pool.endpoints.iter().map(ToString::to_string).collect();
        let external = pool
            .name
            .as_ref()
            .map(|(name, port)| format!(" = {name}:{port}"));
        let _ = writeln!(
            text,
            "# pool {name}{}: {}",
            external.unwrap_or_default(),
            endpoints.join(" ")
        );
    }
    text
}

/// Findings as a person reads them, one a paragraph.
pub fn told(findings: &[Diagnostic]) -> String {
    let mut text = String::new();
    for finding in findings {
        let Diagnostic {
            origin,
            code,
            severity,
            message,
            fix,
        } = finding;
        let severity = format!("{severity:?}").to_lowercase();
        let _ = writeln!(
            text,
            "{severity} {code} {}: {} {}",
            code.reason(),
            origin.object,
            origin.field
        );
        let _ = writeln!(text, "  {message}\n  {fix}");
    }
    text
}

/// The default certificate of all cases: made anew for each run, since no golden file shows it.
fn default_certificate() -> vigie::model::Certificate {
    static MADE: std::sync::OnceLock<vigie::model::Certificate> = std::sync::OnceLock::new();
    let make = || {
        let made = rcgen::generate_simple_self_signed(vec!["default.vigie.test".into()])
            .expect("a certificate can be made");
        let name = vigie::snapshot::ObjectName::new("", "default-certificate");
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        vigie::translate::certificate_of_pem(&name, chain.as_bytes(), key.as_bytes())
            .expect("it can be read back")
    };
    MADE.get_or_init(make).clone()
}
