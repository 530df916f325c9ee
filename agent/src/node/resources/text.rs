//! Parsers of formats that several of the kernel's files have in common.

/// The number in the line `<key> <number>`, or `<key>: <number> kB`.
pub fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        (name.strip_suffix(':').unwrap_or(name) == key)
            .then(|| words.next()?.parse().ok())
            .flatten()
    })
}

/// The numbers between the separators; `None` for an item that is not a number.
pub fn numbers(text: &str, separator: char) -> impl Iterator<Item = Option<u64>> {
    text.split(separator).map(|word| word.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_key() {
        let text = "oom 3\noom_kill 2\nRssAnon:\t     112 kB\nbroken\nempty \n";
        assert_eq!(value(text, "oom"), Some(3));
        assert_eq!(value(text, "oom_kill"), Some(2));
        assert_eq!(value(text, "RssAnon"), Some(112));
        for none in ["oom_k", "broken", "empty", "absent"] {
            assert_eq!(value(text, none), None, "{none}");
        }
    }
}
