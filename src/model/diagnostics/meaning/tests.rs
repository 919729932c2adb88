use super::*;

#[test]
fn every_text_is_made_of_sentences() {
    for &code in Code::ALL {
        let Meaning {
            title,
            explanation,
            repair,
            ..
        } = code.meaning();
        for text in [title, explanation, repair] {
            assert!(text.ends_with('.') || text.ends_with('`'), "{code}: {text}");
            assert!(!text.contains("  "), "{code}: {text}");
        }
        assert_eq!(title.matches(". ").count(), 0, "{code}: {title}");
    }
}

#[test]
fn every_example_is_mended_by_its_difference() {
    for &code in Code::ALL {
        let example = code.meaning().shown.example();
        assert_ne!(example.broken(), example.mended(), "{code}");
        for line in example.as_difference().lines() {
            let marked = line.is_empty() || line.starts_with([' ', '-', '+']);
            assert!(marked, "{code}: {line}");
            assert!(line.len() <= 100, "{code}: {line}");
        }
    }
}

#[test]
fn an_example_is_read_both_ways() {
    let example = Code::RH205.meaning().shown.example();
    assert!(example.broken().contains("\n  type: ExternalName\n"));
    assert!(!example.broken().contains("selector"));
    assert!(example.mended().contains("\n  selector: {app: api}\n"));
    assert!(!example.mended().contains("ExternalName"));
}
