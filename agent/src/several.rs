//! A number with its noun.

/// `1 point`, `2 points`.
pub fn several(n: usize, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        let text = [0, 1, 2].map(|n| several(n, "point", "points"));
        assert_eq!(text, ["0 points", "1 point", "2 points"]);
    }
}
