//! Whether enough of a point's connections have a known identity for a policy.

use super::seen::{Callers, PLAIN, Seen};
use crate::cli::report::percent::percent;
use anyhow::bail;

/// Connections with a known identity, and all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Connections that show the known identity of their caller.
    pub known: f64,
    /// All connections.
    pub all: f64,
}

impl Coverage {
    /// The coverage of some callers.
    pub fn of<'a>(callers: impl IntoIterator<Item = &'a Callers>) -> Self {
        let mut coverage = Self::default();
        for callers in callers {
            let known: f64 = callers.known.values().sum();
            coverage.known += known;
            coverage.all += known + callers.others.values().sum::<f64>();
        }
        coverage
    }

    /// The share of connections with a known identity; 0 without any connection.
    pub fn share(self) -> f64 {
        if self.all > 0.0 { self.known / self.all } else { 0.0 }
    }
}

/// Refuses below a share of connections with a known identity.
///
/// # Errors
/// A sentence with the share, what has no identity, and what to do.
pub fn require<'a>(
    seen: &Seen,
    callers: impl IntoIterator<Item = &'a Callers> + Clone,
    least: f64,
) -> anyhow::Result<Coverage> {
    let coverage = Coverage::of(callers.clone());
    if coverage.all == 0.0 {
        bail!(
            "no policy is drafted for {}: no connection through it was seen in the window; choose a longer one with --window",
            seen.title()
        );
    }
    if coverage.known == 0.0 || coverage.share() < least {
        let others = others(callers);
        bail!(
            "no policy is drafted for {}: {} of its {:.0} connections have a known identity, and --min-coverage requires {}, as the others \
             would be denied: {}. {}; or pass a lower --min-coverage to see a draft all the same",
            seen.title(),
            percent(coverage.share()),
            coverage.all,
            percent(least),
            listed(&others),
            advice(&others),
        );
    }
    Ok(coverage)
}

/// Connections without a known identity, by what is known of their caller, the most first.
pub fn others<'a>(callers: impl IntoIterator<Item = &'a Callers>) -> Vec<(String, f64)> {
    let mut all = std::collections::BTreeMap::<&str, f64>::new();
    for (name, n) in callers.into_iter().flat_map(|callers| &callers.others) {
        *all.entry(name).or_default() += n;
    }
    let mut all: Vec<_> = all.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all
}

/// The first of them in a sentence.
pub fn listed(others: &[(String, f64)]) -> String {
    const SHOWN: usize = 6;
    let shown: Vec<_> = others
        .iter()
        .take(SHOWN)
        .map(|(name, n)| format!("{name} ({n:.0})"))
        .collect();
    match others.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether this stands for a point, whose name is after its kind, or for several.
pub fn is_point(name: &str) -> bool {
    (name.contains(' ') && !is_plain(name)) || name == "points"
}

/// Whether these are connections of a workload with an identity that do not show it.
pub fn is_plain(name: &str) -> bool {
    name.ends_with(PLAIN)
}

/// What to do about callers without an identity.
fn advice(others: &[(String, f64)]) -> String {
    let has = |names: &[&str]| others.iter().any(|(name, _)| names.contains(&name.as_str()));
    let parts = [
        has(&["unknown"])
            .then_some("for unknown, run agents with the identities of the whole cluster (kubernetes.scope: cluster)"),
        has(&["_other", "_former"]).then_some("for _other and _former, raise limits.dependents"),
        has(&["external", "node"])
            .then_some("for external and node, look for the clients outside of the mesh, which no identity can allow"),
        (others
            .iter()
            .any(|(name, _)| name.contains('/') && !is_point(name) && !is_plain(name)))
        .then_some("for the workloads, take them into the mesh, as they have no identity there"),
        (others.iter().any(|(name, _)| is_plain(name))).then_some(
            "for what is in plain text, find out why it passes by the ztunnel (narrows_enforced_connections_total)",
        ),
        (others.iter().any(|(name, _)| is_point(name)))
            .then_some("for the points, whose identities are in no series, add theirs to the draft by hand"),
    ];
    let advice = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let mut letters = advice.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
