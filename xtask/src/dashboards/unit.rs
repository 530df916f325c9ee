//! Numbers with the units of Grafana: <https://github.com/grafana/grafana/blob/main/packages/grafana-data/src/valueFormats/categories.ts>.

use anyhow::{Result, bail};

/// A factor, and what follows the number divided by it; the greatest first.
type Scale = &'static [(f64, &'static str)];

const THOUSANDS: Scale = &[(1e12, " Tri"), (1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1.0, "")];
const SI: Scale = &[(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];
const BINARY: Scale = &[
    (1_099_511_627_776.0, " TiB"),
    (1_073_741_824.0, " GiB"),
    (1_048_576.0, " MiB"),
    (1024.0, " KiB"),
    (1.0, " B"),
];
const SECONDS: Scale = &[
    (86_400.0, " day"),
    (3600.0, " hour"),
    (60.0, " min"),
    (1.0, " s"),
    (1e-3, " ms"),
    (1e-6, " µs"),
    (1e-9, " ns"),
];

/// A number as a panel shows it.
///
/// # Errors
/// The unit is not known here: add it when a dashboard uses it.
pub(super) fn shown(value: f64, unit: &str, decimals: Option<u64>) -> Result<String> {
    Ok(match unit {
        "none" => number(value, decimals),
        "percentunit" => number(value * 100.0, decimals) + "%",
        "short" => scaled(value, THOUSANDS, decimals),
        "s" => scaled(value, SECONDS, decimals),
        "bytes" => scaled(value, BINARY, decimals),
        "Bps" => prefixed(value, "B/s", decimals),
        "pps" => prefixed(value, "p/s", decimals),
        "cps" => scaled(value, THOUSANDS, decimals) + " c/s",
        "ops" => scaled(value, THOUSANDS, decimals) + " ops/s",
        _ => bail!("the unit {unit:?} is not known to the renderer of dashboards: add it to unit.rs"),
    })
}

fn scaled(value: f64, scale: Scale, decimals: Option<u64>) -> String {
    let found = scale.iter().find(|(factor, _)| value.abs() >= *factor);
    // 0, and what is smaller than all of them.
    let base = scale.iter().find(|(factor, _)| *factor == 1.0);
    let (factor, suffix) = found.or(base).copied().unwrap_or((1.0, ""));
    number(value / factor, decimals) + suffix
}

fn prefixed(value: f64, unit: &str, decimals: Option<u64>) -> String {
    let (factor, prefix) = SI
        .iter()
        .find(|(factor, _)| value.abs() >= *factor)
        .copied()
        .unwrap_or((1.0, ""));
    format!("{} {prefix}{unit}", number(value / factor, decimals))
}

/// With about three significant digits, unless a number of decimals is asked for.
fn number(value: f64, decimals: Option<u64>) -> String {
    let automatic = || {
        if value == 0.0 || value.fract() == 0.0 {
            return 0;
        }
        let magnitude = value.abs().log10().floor();
        let few = 1.0 - magnitude;
        let decimals = if value.abs() * 10_f64.powf(few) > 2.25 {
            few + 1.0
        } else {
            few
        };
        decimals.max(0.0) as u64
    };
    let decimals = decimals.unwrap_or_else(automatic) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_as_in_grafana() {
        for (value, unit, decimals, expected) in [
            (0.0, "short", None, "0"),
            (1234.5, "short", None, "1.23 K"),
            (12.345, "short", None, "12.3"),
            (12.345, "none", Some(0), "12"),
            (0.8512, "percentunit", None, "85.1%"),
            (0.00042, "s", None, "420 µs"),
            (90.0, "s", None, "1.50 min"),
            (0.0, "s", None, "0 s"),
            (1536.0, "bytes", None, "1.50 KiB"),
            (1500.0, "Bps", None, "1.50 kB/s"),
            (20.0, "cps", None, "20 c/s"),
        ] {
            assert_eq!(shown(value, unit, decimals).expect("a known unit"), expected);
        }
        assert!(shown(1.0, "furlongs", None).is_err());
    }
}
