//! Durations on the command line.

use std::time::Duration;

/// Reads `30s`, `2m` or plain seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds_per = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("{unit:?} is not a unit of time: write 30s, 2m or 1h")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "write a number and a unit: 30s, 2m or 1h".to_owned())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds_per)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("7"), Ok(Duration::from_secs(7)));
        assert!(parse("x").is_err());
        assert!(parse("3d").is_err());
    }
}
