//! Numbers as they are shown: short, with their unit, and never 0 for what is not 0 or not known.

/// What stands for a number that is not known.
pub const UNKNOWN: &str = "-";

/// A number that may be unknown.
pub fn or_unknown<T>(value: Option<T>, shown: impl Fn(T) -> String) -> String {
    value.map_or_else(|| UNKNOWN.into(), shown)
}

/// A share from 0 to 1 as a whole percentage: neither 0% nor 100% unless it is exactly that.
pub fn percent(ratio: f64) -> String {
    match format!("{:.0}%", ratio * 100.0).as_str() {
        "0%" if ratio > 0.0 => "<1%".into(),
        "100%" if ratio < 1.0 => ">99%".into(),
        text => text.into(),
    }
}

/// A rate per second.
pub fn rate(per_second: f64) -> String {
    match per_second {
        n if n <= 0.0 => "0".into(),
        n if n < 0.05 => "<0.1".into(),
        n if n < 9.95 => format!("{n:.1}"),
        n => scaled(n, 1_000.0, &["", "k", "M", "G"]),
    }
}

/// A number of connections, packets or the like.
pub fn count(n: impl TryInto<i64>) -> String {
    // More than an i64 holds has never been counted.
    scaled(n.try_into().unwrap_or(i64::MAX) as f64, 1_000.0, &["", "k", "M", "G"])
}

/// Bytes.
pub fn bytes(n: f64) -> String {
    scaled(n, 1_024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

/// A time, from microseconds to days.
pub fn seconds(n: f64) -> String {
    match n {
        n if n <= 0.0 => "0 s".into(),
        n if n < 1e-3 => format!("{:.0} us", (n * 1e6).max(1.0)),
        n if n < 1.0 => format!("{} ms", digits(n * 1e3)),
        n if n < 120.0 => format!("{} s", digits(n)),
        n if n < 7_200.0 => format!("{:.0} min", n / 60.0),
        n if n < 172_800.0 => format!("{:.0} h", n / 3_600.0),
        n => format!("{:.0} d", n / 86_400.0),
    }
}

/// The time of day in an RFC 3339 time.
pub fn time_of_day(time: &str) -> &str {
    time.get(11..19).unwrap_or(time)
}

/// With as many digits as say something.
fn digits(n: f64) -> String {
    if n < 9.95 { format!("{n:.1}") } else { format!("{n:.0}") }
}

fn scaled(n: f64, step: f64, units: &[&str]) -> String {
    let (mut n, mut at) = (n, 0);
    // Four digits are as short as one with a unit. 999.5 is rounded to 1000.
    while n.abs() >= 9_999.5 && at + 1 < units.len() {
        n /= step;
        at += 1;
    }
    match at {
        0 => format!("{n:.0}{}", units[0]),
        _ => format!("{}{}", digits(n), units[at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        assert_eq!(
            [0.0, 0.001, 0.421, 0.9999, 1.0].map(percent),
            ["0%", "<1%", "42%", ">99%", "100%"]
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.01, 1.25, 12.4, 9_999.0, 12_345.0].map(rate),
            ["0", "<0.1", "1.2", "12", "9999", "12k"]
        );
        assert_eq!(
            [0_u64, 999, 9_999, 10_000, u64::MAX].map(count)[..4],
            ["0", "999", "9999", "10k"]
        );
        assert_eq!(
            [0.0, 512.0, 20_480.0, 1e9].map(bytes),
            ["0 B", "512 B", "20 KiB", "954 MiB"]
        );
    }

    #[test]
    fn times_have_units() {
        assert_eq!(
            [0.0, 2e-7, 27e-6, 0.0012, 0.25, 3.4, 60.0, 600.0, 7_300.0, 2e6].map(seconds),
            [
                "0 s", "1 us", "27 us", "1.2 ms", "250 ms", "3.4 s", "60 s", "10 min", "2 h", "23 d"
            ]
        );
        assert_eq!(time_of_day("2025-11-24T16:00:10.000Z"), "16:00:10");
    }

    #[test]
    fn what_is_not_known_is_no_zero() {
        assert_eq!(or_unknown(None, rate), "-");
        assert_eq!(or_unknown(Some(0.0), rate), "0");
    }
}
