//! What changed since an earlier report.

use super::{
    block::{Block, names},
    evidence::{Evidence, VERSION},
    findings::Findings,
    percent::percent,
    point::Point,
};
use crate::cli::name::Name;
use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fs, path::Path};

/// A share, a saturation or a failure rate that changed by less than this is not worth a line.
const NOTABLE: f64 = 0.05;

/// An earlier report in JSON, as far as another is compared with it.
pub struct Earlier {
    /// Its file, its source, and when it was written.
    name: String,
    evidence: Evidence,
}

#[derive(Deserialize)]
struct Report {
    version: u32,
    source: String,
    #[serde(default)]
    written: String,
    evidence: Evidence,
}

impl Earlier {
    /// Reads the file.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a report in JSON of this version.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let text = fs::read(file).with_context(|| format!("cannot read {name}, the report to compare with"))?;
        let report: Report = serde_json::from_slice(&text).with_context(|| {
            format!("{name} is not a report: write it with `narrows report --format json --output {name}`")
        })?;
        ensure!(
            report.version == VERSION,
            "{name} has version {} of the format, and this program writes and compares version {VERSION}",
            report.version
        );
        let written = if report.written.is_empty() {
            "an unknown time"
        } else {
            &report.written
        };
        Ok(Self {
            name: format!("{name} ({}), written at {written}", report.source),
            evidence: report.evidence,
        })
    }
}

/// What changed of a point.
#[derive(Clone, Debug, Serialize)]
pub struct PointChange {
    /// Its name.
    pub point: Name,
    /// Dependents that it did not have.
    pub new_dependents: Vec<Name>,
    /// Dependents that it no longer has.
    pub former_dependents: Vec<Name>,
    /// Its highest saturation, before and now, where both are known and differ.
    pub saturation: Option<(f64, f64)>,
    /// The share of failed attempts that its callers observed, or its own sockets where no caller did, before and now.
    pub failures: Option<(f64, f64)>,
    /// The number of nodes with an instance, before and now.
    pub nodes: Option<(usize, usize)>,
}

/// All that changed.
#[derive(Clone, Debug, Serialize)]
pub struct Changes {
    /// The report that this one is compared with: its source, and when it was written.
    pub since: String,
    /// Points that were not there.
    pub new_points: Vec<Name>,
    /// Points that are no longer there.
    pub former_points: Vec<Name>,
    /// Points that are there as before, and of which something changed.
    pub points: Vec<PointChange>,
    /// Callers and targets that bypass a point now, and did not.
    pub new_bypasses: Vec<(Name, Name)>,
    /// Workloads that take part in their mesh in several ways now, and did not.
    pub newly_mixed: Vec<Name>,
    /// The share of identified connection ends, before and now.
    pub attributed: Option<(f64, f64)>,
    /// The share of connections that a point carried, before and now.
    pub enforced: Option<(f64, f64)>,
}

impl Changes {
    /// What is in this report and was not in the other, and the reverse.
    pub fn since(earlier: &Earlier, now: &Evidence, findings: &Findings) -> Self {
        let Earlier { name, evidence: before } = earlier;
        let earlier = Findings::of(before);
        let missing = |of: &Evidence, other: &Evidence| -> Vec<Name> {
            let names = of.points.keys().filter(|name| !other.points.contains_key(*name));
            names.cloned().collect()
        };
        let points = now.points.keys().filter(|name| before.points.contains_key(*name));
        let pairs = |evidence: &Evidence| -> BTreeSet<(Name, Name)> {
            let bypasses = evidence.bypasses.iter();
            bypasses
                .map(|bypass| (bypass.source.clone(), bypass.destination.clone()))
                .collect()
        };
        let mixed = findings.mixed.iter().filter(|name| !earlier.mixed.contains(name));
        Self {
            since: name.clone(),
            new_points: missing(now, before),
            former_points: missing(before, now),
            points: points.filter_map(|name| change(name, before, now)).collect(),
            new_bypasses: pairs(now).difference(&pairs(before)).cloned().collect(),
            newly_mixed: mixed.cloned().collect(),
            attributed: notable(earlier.attributed, findings.attributed),
            enforced: notable(earlier.enforced, findings.enforced),
        }
    }

    /// Whether nothing is to be told.
    fn is_empty(&self) -> bool {
        self.new_points.is_empty()
            && self.former_points.is_empty()
            && self.points.is_empty()
            && self.new_bypasses.is_empty()
            && self.newly_mixed.is_empty()
            && self.attributed.is_none()
            && self.enforced.is_none()
    }

    /// Its part of the page.
    pub fn blocks(&self) -> Vec<Block> {
        let mut page = vec![
            Block::Heading(2, "What changed".into()),
            Block::Text(format!("Since {}.", self.since)),
        ];
        if self.is_empty() {
            page.push(Block::Text("Nothing that is worth a line.".into()));
            return page;
        }
        let mut list = Vec::new();
        let mut tell = |what: &str, which: &[Name]| {
            if !which.is_empty() {
                list.push(format!("{what}: {}.", names(which)));
            }
        };
        tell("New points", &self.new_points);
        tell("Points that are gone", &self.former_points);
        tell(
            "Workloads whose pods are in different mesh modes now",
            &self.newly_mixed,
        );
        let bypasses: Vec<_> = (self.new_bypasses.iter())
            .map(|(source, destination)| format!("{source} to {destination}"))
            .collect();
        tell("New bypasses", &bypasses);
        for (what, values) in [
            ("Identified connection ends", self.attributed),
            ("Connections that a point carried", self.enforced),
        ] {
            list.extend(values.map(|values| format!("{what}: {}.", from_to(values))));
        }
        list.extend(self.points.iter().map(PointChange::sentence));
        page.push(Block::List(list));
        page
    }
}

impl PointChange {
    fn sentence(&self) -> String {
        let some = |what: &str, which: &[Name]| (!which.is_empty()).then(|| format!("{what} {}", names(which)));
        let parts = [
            some("new dependents", &self.new_dependents),
            some("no longer depend on it:", &self.former_dependents),
            self.saturation
                .map(|values| format!("highest saturation {}", from_to(values))),
            self.failures.map(|values| format!("failures {}", from_to(values))),
            self.nodes
                .map(|(before, now)| format!("on {now} nodes instead of {before}")),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        format!("{}: {}.", self.point, parts.join("; "))
    }
}

fn from_to((before, now): (f64, f64)) -> String {
    format!("{} instead of {}", percent(now), percent(before))
}

/// Both, where both are known and differ notably.
fn notable(before: Option<f64>, now: Option<f64>) -> Option<(f64, f64)> {
    before.zip(now).filter(|(before, now)| (before - now).abs() >= NOTABLE)
}

/// What changed of a point that is in both; `None` where nothing did.
fn change(name: &Name, before: &Evidence, now: &Evidence) -> Option<PointChange> {
    let (was, is) = (&before.points[name], &now.points[name]);
    let without = |of: &Point, other: &Point| -> Vec<Name> {
        let names = of.dependents.keys().filter(|who| !other.dependents.contains_key(*who));
        names.cloned().collect()
    };
    let saturation = |point: &Point| point.saturation.as_ref().map(|(most, _)| *most);
    let failures = |point: &Point| point.callers.ratio().or_else(|| point.own.ratio());
    let change = PointChange {
        point: name.clone(),
        new_dependents: without(is, was),
        former_dependents: without(was, is),
        saturation: notable(saturation(was), saturation(is)),
        failures: notable(failures(was), failures(is)),
        nodes: Some((was.nodes.len(), is.nodes.len())).filter(|(before, now)| before != now),
    };
    let changed = !change.new_dependents.is_empty()
        || !change.former_dependents.is_empty()
        || change.saturation.is_some()
        || change.failures.is_some()
        || change.nodes.is_some();
    changed.then_some(change)
}
