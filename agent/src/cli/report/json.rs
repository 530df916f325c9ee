//! The report for programs. `version` changes when a field changes its meaning or goes.

use super::{controls, evidence::Evidence, findings::Findings, source::About};
use serde_json::json;

/// Writes it.
///
/// # Errors
/// When a number cannot be written, which none of these is.
pub fn render(about: &About, evidence: &Evidence, findings: &Findings) -> anyhow::Result<String> {
    let window = about.queries.as_deref().unwrap_or("24h");
    let report = json!({
        "version": 1,
        "source": about.source,
        "window": about.window,
        "limits": about.limits,
        "evidence": evidence,
        "findings": findings,
        "controls": controls::all(evidence, findings, window),
    });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}
