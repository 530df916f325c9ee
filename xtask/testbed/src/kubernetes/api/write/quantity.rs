//! Quantities in the form in which Kubernetes stores them (`resource.Quantity`).

/// Suffixes of decimal quantities, by the power of 1000.
const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// Suffixes of binary quantities, by the power of 1024.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The canonical form: an integer with the largest suffix that needs no fraction. `None` for what is no such quantity.
pub(super) fn canonical(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &text[digits.len()..];
    let binary = BINARY.iter().position(|known| !known.is_empty() && *known == suffix);
    let (base, suffixes, power) = match binary {
        Some(power) => (1024, BINARY, power),
        None if suffix == "m" => return milli(digits),
        None => (1000, DECIMAL, DECIMAL.iter().position(|known| *known == suffix)?),
    };
    Some(scaled(digits.parse().ok()?, power, base, &suffixes))
}

fn scaled(mut number: u64, mut power: usize, base: u64, suffixes: &[&str]) -> String {
    while number != 0 && number.is_multiple_of(base) && power + 1 < suffixes.len() {
        (number, power) = (number / base, power + 1);
    }
    // A plain number of bytes has no binary suffix.
    format!("{number}{}", suffixes[power])
}

/// Thousandths.
fn milli(digits: &str) -> Option<String> {
    let number: u64 = digits.parse().ok()?;
    Some(match number % 1000 {
        0 => scaled(number / 1000, 0, 1000, &DECIMAL),
        _ => format!("{number}m"),
    })
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn the_largest_suffix_without_a_fraction() {
        for (given, stored) in [
            ("5000", "5k"),
            ("5k", "5k"),
            ("5500", "5500"),
            ("0", "0"),
            ("64Mi", "64Mi"),
            ("1024Mi", "1Gi"),
            ("1000m", "1"),
            ("50m", "50m"),
            ("2000000", "2M"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(stored), "{given}");
        }
        assert_eq!(canonical("some"), None);
    }
}
