//! The report for programs. `version` changes when the meaning of a field changes, or when a field is removed.

use super::{
    compare::Changes,
    controls,
    evidence::{Evidence, VERSION},
    findings::Findings,
    pictures::Trend,
    source::About,
};
use serde_json::json;

/// Renders the report as JSON.
///
/// # Errors
/// When a number cannot be represented in JSON, which does not occur here.
pub fn render(
    about: &About,
    evidence: &Evidence,
    findings: &Findings,
    trend: &Result<Option<Trend>, String>,
    changes: Option<&Changes>,
) -> anyhow::Result<String> {
    let window = about.queries.as_deref().unwrap_or("24h");
    let report = json!({
        "version": VERSION,
        "written": about.written,
        "source": about.source,
        "window": about.window,
        "limits": about.limits,
        "evidence": evidence,
        "findings": findings,
        "saturation_over_time": trend.as_ref().ok(),
        "changes": changes,
        "controls": controls::all(evidence, findings, window),
    });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}
