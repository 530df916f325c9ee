//! Prints figures as a table, and writes them as JSON.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Figures in the order in which they were taken.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    note: String,
}

impl Report {
    /// Adds a figure with its unit and a note.
    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str, note: impl Into<String>) {
        self.0.push(Row {
            what: what.into(),
            value,
            unit,
            note: note.into(),
        });
    }

    /// The figures as a table.
    pub(crate) fn table(&self) -> String {
        let width = self.0.iter().map(|row| row.what.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Row {
            what,
            value,
            unit,
            note,
        } in &self.0
        {
            let value = if *value >= 1000.0 {
                format!("{value:.0}")
            } else {
                format!("{value:.3}")
            };
            let _infallible = writeln!(text, "{what:width$}  {value:>12} {unit:<14} {note}");
        }
        text
    }

    /// Writes the figures as JSON to `<directory>/latest.json`.
    pub(crate) fn write(&self, directory: &Path) -> Result<PathBuf> {
        let rows: Vec<Value> = self
            .0
            .iter()
            .map(|row| json!({ "what": row.what, "value": row.value, "unit": row.unit, "note": row.note }))
            .collect();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let document = json!({ "kernel": release.trim(), "version": env!("CARGO_PKG_VERSION"), "figures": rows });
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let file = directory.join("latest.json");
        fs::write(&file, format!("{document:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// The median of the values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn the_table_lines_up() {
        let mut report = Report::default();
        report.add("a", 1.5, "ns", "x");
        report.add("longer", 12_345.6, "B", "");
        assert_eq!(report.table().lines().count(), 2);
        assert!(report.table().contains("12346 B"));
    }
}
