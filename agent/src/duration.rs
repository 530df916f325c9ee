//! Durations as users write them: `90s`, `1h30m`, `7d`, in flags, in the configuration file and in queries of the API.

use serde::{Deserializer, Serializer, de};
use std::{fmt, time::Duration};

/// Units, the largest first, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// The number of digits of a fraction that are used: with them, even days are exact to far less than a nanosecond.
const FRACTION_DIGITS: usize = 18;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Reads numbers with units, the largest unit first and none twice: `90s`, `1h30m`, `1.5h`, `500ms`. There may be spaces between
/// them (`1h 30m`). Only `0` needs no unit.
///
/// # Errors
/// A sentence with the text, and how a duration is written.
pub fn parse(text: &str) -> Result<Duration, String> {
    read(text).ok_or_else(|| not_valid(&format!("{text:?}")))
}

/// Like [`parse`], but a number without a unit is in seconds: for settings that formerly had no units.
///
/// # Errors
/// A sentence with the text, and how a duration is written.
pub fn parse_or_seconds(text: &str) -> Result<Duration, String> {
    let number = text.trim();
    let has_no_unit = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let found = match has_no_unit {
        true => read(&format!("{number}s")),
        false => read(text),
    };
    found.ok_or_else(|| not_valid(&format!("{text:?}")))
}

/// Formats a duration in the largest unit, from days down to milliseconds, of which it is a whole number; both [`parse`] and
/// Prometheus can read it.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let units = UNITS.into_iter().filter(|(_, size)| *size >= 1_000_000);
    units
        .map(|(unit, size)| (unit, u128::from(size)))
        .find(|(_, size)| nanos.is_multiple_of(*size))
        .map_or_else(
            || format!("{}s", duration.as_secs_f64()),
            |(unit, size)| format!("{}{unit}", nanos / size),
        )
}

fn not_valid(text: &str) -> String {
    format!("{text} is not a valid duration, e.g. 90s, 1h30m or 7d")
}

fn read(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    // Each unit may be followed by smaller ones only.
    let mut smaller = UNITS.as_slice();
    let mut nanos = 0_u128;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, after) = split_where(after, |c| !c.is_ascii_alphabetic());
        let at = smaller.iter().position(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(in_nanos(number, smaller[at].1)?)?;
        smaller = &smaller[at + 1..];
        rest = after.trim_start();
    }
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).ok()?;
    // The remainder is less than 10^9, so it fits.
    Some(Duration::new(seconds, (nanos % NANOS_PER_SECOND) as u32))
}

fn split_where(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is_end).unwrap_or(text.len()))
}

/// `number` units in nanoseconds; `number` consists of digits, with at most one decimal point between them.
fn in_nanos(number: &str, unit: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let parts = fraction.parse::<u128>().ok()? * u128::from(unit) / 10_u128.pow(fraction.len() as u32);
    whole
        .parse::<u128>()
        .ok()?
        .checked_mul(u128::from(unit))?
        .checked_add(parts)
}

/// For fields of files: text as [`parse_or_seconds`] reads it, or a number of seconds.
///
/// # Errors
/// When it is neither.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Visitor)
}

/// For fields of files, as [`format()`] writes it.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration, e.g. 90s, 1h30m or 7d, or a number of seconds")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        let seconds = u64::try_from(seconds).map_err(|_| E::custom(not_valid(&seconds.to_string())))?;
        Ok(Duration::from_secs(seconds))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(seconds).map_err(|_| E::custom(not_valid(&seconds.to_string())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse_or_seconds(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_with_units_are_added_up() {
        for (text, millis) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("7d", 604_800_000),
            ("500ms", 500),
            ("1500ms", 1_500),
            ("90m", 5_400_000),
            ("1.5h", 5_400_000),
            ("0.25s", 250),
            ("2000us", 2),
            ("3000000ns", 3),
            ("007s", 7_000),
            ("0s", 0),
            ("0d0s", 0),
            ("0", 0),
            (" 0 ", 0),
            (" 2m ", 120_000),
            ("1h 30m", 5_400_000),
            ("\t1h\n30m ", 5_400_000),
            ("0.1234567890123456789012345678901234567890s", 123),
        ] {
            let found = parse(text).map(|found| found.as_millis());
            assert_eq!(found, Ok(millis), "{text:?}");
            assert_eq!(
                parse_or_seconds(text).map(|found| found.as_millis()),
                Ok(millis),
                "{text:?}"
            );
        }
    }

    #[test]
    fn everything_else_is_an_error_that_shows_how() {
        for text in [
            "",
            " ",
            "s",
            "-5m",
            "- 5m",
            "+5m",
            "5 parsecs",
            "5 m",
            "5parsecs",
            "5m ago",
            "soon",
            "1e9h",
            "1,5h",
            ".5s",
            "5.s",
            "1.2.3s",
            ".s",
            "5M",
            "5S",
            "1w",
            "1y",
            "inf",
            "NaN",
            "ä",
            "5ä",
            "５s",
            // Twice, or the larger unit after the smaller one: more likely a slip than a sum.
            "1h1h",
            "30m1h",
            "1s1ms1s",
            "1h30",
            "30 1h",
            // More seconds than a number has room for.
            "18446744073709551616s",
            "213503982334602d",
            "340282366920938463463374607431768211456ns",
            "99999999999999999999999999999999999999999999s",
        ] {
            for error in [parse(text), parse_or_seconds(text)] {
                let error = error.expect_err(text);
                assert_eq!(
                    error,
                    format!("{text:?} is not a valid duration, e.g. 90s, 1h30m or 7d")
                );
            }
        }
        assert_eq!(parse("18446744073709551615s"), Ok(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn a_number_alone_is_in_seconds_where_it_always_was() {
        for (text, millis) in [
            ("5", 5_000),
            ("0.05", 50),
            (" 60 ", 60_000),
            ("0", 0),
            ("3600", 3_600_000),
        ] {
            assert_eq!(
                parse_or_seconds(text).map(|found| found.as_millis()),
                Ok(millis),
                "{text:?}"
            );
            assert_eq!(parse(text).is_ok(), text == "0", "{text:?}");
        }
        for text in ["-1", "1e3", "5 5", "0x10"] {
            assert!(parse_or_seconds(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_written_in_the_largest_unit_that_fits() {
        let written = [
            0,
            60_000,
            90_000,
            5_400_000,
            86_400_000,
            604_800_000,
            500,
            1_500,
            3_600_001,
        ]
        .map(|millis| format(Duration::from_millis(millis)));
        assert_eq!(
            written,
            ["0s", "1m", "90s", "90m", "1d", "7d", "500ms", "1500ms", "3600001ms"]
        );
        assert_eq!(format(Duration::from_micros(1)), "0.000001s");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(millis in 0..u64::MAX / 2) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,40}") {
            let _read = parse(&text);
            let _read = parse_or_seconds(&text);
        }
    }
}
