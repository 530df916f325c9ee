//! Formats shares as percentages.

/// A share as a percentage with one decimal. A share below 1 is never rounded to 100 %, and one above 0 never to 0 %.
pub fn percent(share: f64) -> String {
    let text = format!("{:.1} %", share * 100.0);
    match text.as_str() {
        "100.0 %" if share < 1.0 => "99.9 %".into(),
        "0.0 %" if share > 0.0 => "< 0.1 %".into(),
        "100.0 %" => "100 %".into(),
        "0.0 %" => "0 %".into(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        let texts = [1.0, 0.9999, 0.5, 0.0001, 0.0].map(percent);
        assert_eq!(texts, ["100 %", "99.9 %", "50.0 %", "< 0.1 %", "0 %"]);
    }
}
