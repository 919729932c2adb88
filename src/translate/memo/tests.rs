use super::*;

#[test]
fn a_value_is_made_once_and_forgotten_when_a_build_does_not_ask_for_it() {
    let mut kept: Kept<String, u32> = Kept::default();
    assert_eq!(kept.get("a", |_| true, || 1), &1);
    assert_eq!(kept.get("b", |_| true, || 2), &2);
    kept.forget_unused();
    assert_eq!(kept.get("a", |_| true, || 3), &1);
    kept.forget_unused();
    assert_eq!(kept.0.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(kept.get("b", |_| true, || 4), &4);
    assert_eq!(kept.get("a", |_| false, || 5), &5, "it is not of the same");
}
