use proptest::prelude::*;

use super::*;

fn ingress(name: &str, version: &str) -> Ingress {
    let mut ingress = Ingress::default();
    ingress.metadata.name = Some(name.to_owned());
    let annotations = [("version".to_owned(), version.to_owned())];
    ingress.metadata.annotations = Some(annotations.into());
    ingress
}

fn snapshot(objects: &[(&str, &str)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, version) in objects {
        snapshot.add_ingress(ingress(name, version));
    }
    snapshot
}

fn reference(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Ingress, "default", name)
}

fn versions(snapshot: &Snapshot) -> Vec<(String, String)> {
    let all = snapshot.ingresses.iter();
    all.map(|(name, ingress)| {
        let annotations = ingress.metadata.annotations.as_ref().unwrap();
        (name.name.clone(), annotations["version"].clone())
    })
    .collect()
}

/// A proxy that takes no snapshot with one of these versions, and says so without a place.
struct Proxy<'a> {
    refuses: &'a [&'a str],
    good: Snapshot,
    builds: usize,
}

impl Proxy<'_> {
    /// Builds and loads until nothing is left to be tried, as a shell does.
    fn settle(&mut self, quarantine: &mut Quarantine, snapshot: &Snapshot) {
        loop {
            self.builds += 1;
            let (built, _) = quarantine.apply(snapshot);
            let bad = versions(&built);
            let bad = bad.iter().any(|(_, v)| self.refuses.contains(&v.as_str()));
            let again = if bad {
                quarantine.refused(&Refused {
                    proxy: "nginx",
                    words: "no",
                    origin: None,
                    snapshot: &built,
                    good: &self.good,
                })
            } else {
                self.good = built.into_owned();
                quarantine.loaded()
            };
            if !again {
                return;
            }
        }
    }
}

#[test]
fn the_object_that_the_words_lead_to_keeps_its_last_good_version() {
    let good = snapshot(&[("a", "1"), ("b", "1")]);
    let newer = snapshot(&[("a", "2"), ("b", "2"), ("c", "1")]);
    let mut quarantine = Quarantine::default();
    let mut refuse = |name: &str, newer: &Snapshot| {
        let origin = Origin::new(reference(name), FieldPath::new("spec.rules[0]"));
        let again = quarantine.refused(&Refused {
            proxy: "nginx 1.30.6",
            words: "unknown directive",
            origin: Some(&origin),
            snapshot: newer,
            good: &good,
        });
        assert!(again);
        quarantine.clone()
    };
    let quarantine = refuse("b", &newer);
    let (built, findings) = quarantine.apply(&newer);
    let expected = snapshot(&[("a", "2"), ("b", "1"), ("c", "1")]);
    assert_eq!(versions(&built), versions(&expected));
    let [finding] = findings.as_slice() else {
        unreachable!("{findings:?}");
    };
    assert_eq!(finding.origin.field.as_str(), "spec.rules[0]");
    assert!(finding.message.contains("unknown directive"), "{finding:?}");

    let quarantine = refuse("c", &built);
    let (built, findings) = quarantine.apply(&newer);
    assert_eq!(
        versions(&built),
        versions(&snapshot(&[("a", "2"), ("b", "1")]))
    );
    assert_eq!(findings.len(), 2);

    let changed = snapshot(&[("a", "2"), ("b", "3"), ("c", "1")]);
    let (built, findings) = quarantine.apply(&changed);
    let expected = snapshot(&[("a", "2"), ("b", "3")]);
    assert_eq!(versions(&built), versions(&expected));
    assert_eq!(findings.len(), 1);
    assert_eq!(quarantine.pruned(&changed).aside.len(), 1);
}

#[test]
fn a_refusal_without_any_changed_object_has_another_cause() {
    let good = snapshot(&[("a", "1")]);
    let mut quarantine = Quarantine::default();
    let again = quarantine.refused(&Refused {
        proxy: "nginx",
        words: "no",
        origin: Some(&Origin::new(reference("a"), FieldPath::default())),
        snapshot: &good,
        good: &good,
    });
    assert!(!again && quarantine == Quarantine::default());
}

proptest! {
    #[test]
    fn exactly_the_refused_objects_are_found_without_the_proxy_naming_them(
        bad in prop::collection::vec(prop::bool::weighted(0.1), 1..60),
        known in 0..60usize,
    ) {
        let names: Vec<String> = (0..bad.len()).map(|n| format!("i{n:02}")).collect();
        let version = |n: usize| if bad[n] { "bad" } else { "new" };
        let newer: Vec<_> = names.iter().enumerate().map(|(n, name)| (name.as_str(), version(n))).collect();
        let older: Vec<_> = names.iter().take(known).map(|name| (name.as_str(), "old")).collect();
        let mut proxy = Proxy { refuses: &["bad"], good: snapshot(&older), builds: 0 };
        let mut quarantine = Quarantine::default();
        let newer = snapshot(&newer);
        proxy.settle(&mut quarantine, &newer);
        let expected: Vec<(String, String)> = names
            .iter()
            .enumerate()
            .filter(|(n, _)| !bad[*n] || *n < known)
            .map(|(n, name)| (name.clone(), if bad[n] { "old" } else { "new" }.to_owned()))
            .collect();
        prop_assert_eq!(versions(&proxy.good), expected);
        let (_, findings) = quarantine.apply(&newer);
        let bad = bad.iter().filter(|bad| **bad).count();
        prop_assert_eq!(findings.len(), bad);
        // Halving: each culprit costs about two builds a level.
        prop_assert!(proxy.builds <= 4 + bad * 16, "{} builds for {bad}", proxy.builds);
    }
}
