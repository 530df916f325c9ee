//! A draft as YAML: the objects, after comments that say what was seen, what they allow, and what cannot be known.

use super::{
    coverage::{Coverage, is_plain, is_point},
    seen::{Callers, Seen},
};
use crate::{
    cli::report::{percent::percent, source::About},
    failures::printable,
    several::several,
};
use anyhow::Context as _;
use serde::Serialize;
use serde_saphyr::Commented;
use std::collections::{BTreeMap, BTreeSet};

/// An object of Kubernetes.
#[derive(Debug, Serialize)]
pub struct Object<S> {
    /// Group and version of the kind.
    #[serde(rename = "apiVersion")]
    pub api_version: &'static str,
    /// The kind of the object.
    pub kind: &'static str,
    /// What names the object.
    pub metadata: Metadata,
    /// What the object says.
    pub spec: S,
}

/// What names an object.
#[derive(Debug, Serialize)]
pub struct Metadata {
    /// The name of the object.
    pub name: String,
    /// The namespace that the object is in.
    pub namespace: String,
    /// Labels that its mesh needs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<&'static str, String>,
}

/// A draft.
#[derive(Debug)]
pub struct Draft {
    /// The connections that it rests on.
    pub coverage: Coverage,
    /// What it allows, in sentences.
    pub allows: Vec<String>,
    /// What the policy cannot say, or what was left out of it, in sentences.
    pub unknown: Vec<String>,
    /// What to look at before it is applied, in sentences.
    pub before: Vec<String>,
    /// Its objects as YAML.
    pub objects: Vec<String>,
}

impl Draft {
    /// Adds an object.
    ///
    /// # Errors
    /// When it cannot be written as YAML, which a text with any characters can.
    pub fn push(&mut self, object: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_saphyr::to_string(object).context("cannot write the policy as YAML")?;
        self.objects.push(text);
        Ok(())
    }

    /// The draft as YAML.
    pub fn render(&self, about: &About, seen: &Seen) -> anyhow::Result<String> {
        let identities = seen.callers.principals().len();
        let namespaces = namespaces(&seen.callers);
        let mut lines = vec![
            "Drafted by `narrows policy`. Nothing was applied: review it before you apply it.".to_owned(),
            format!("Point: {} (mesh {}).", seen.title(), seen.mesh),
            format!(
                "Source: {}. Time: {}. Written at {}.",
                about.source,
                about.queries.as_ref().map_or_else(
                    || "since the agent's start".to_owned(),
                    |window| format!("the last {window}")
                ),
                about.written
            ),
            format!(
                "Carried: {} of {}, to {}.",
                several(identities, "identity", "identities"),
                several(namespaces, "namespace", "namespaces"),
                several(seen.destinations(), "destination", "destinations"),
            ),
            format!(
                "Coverage: {} of {} have a known identity.",
                percent(self.coverage.share()),
                connections(self.coverage.all)
            ),
        ];
        let mut section = |title: &str, items: Vec<String>| {
            if !items.is_empty() {
                lines.push(String::new());
                lines.push(title.to_owned());
                lines.extend(items.into_iter().map(|item| format!("- {item}")));
            }
        };
        section("What it allows:", self.allows.clone());
        let served = seen
            .served
            .iter()
            .map(|(name, n)| format!("{name}: {}", connections(*n)));
        section("Destinations seen:", served.collect());
        section(
            "What it cannot know:",
            self.unknown.iter().cloned().chain(limits(about, seen)).collect(),
        );
        section("Before it is applied:", self.before.clone());
        let mut text = String::new();
        for line in lines {
            let line = printable(&line).into_owned();
            text += format!("# {line}").trim_end();
            text += "\n";
        }
        for object in &self.objects {
            text += "---\n";
            text += object;
        }
        Ok(text)
    }
}

/// What no draft from these samples can know.
fn limits(about: &About, seen: &Seen) -> Vec<String> {
    let mut limits = vec![
        match about.queries {
            Some(_) => "Counts over a window are extrapolated by Prometheus, and approximate.".to_owned(),
            None => "One agent knows the instances and callers on its node, and not those on others.".to_owned(),
        },
        "What did not happen in that time, such as a monthly job, is not in it and would be denied.".to_owned(),
        "Ports, methods and paths are not seen: a caller that is allowed may make any request.".to_owned(),
    ];
    if seen.probes > 0.0 {
        limits.push(format!(
            "{} from nodes are left out of the coverage: health probes, which go to ports of the proxy itself, or pods on a node's \
             network, which would be denied.",
            connections(seen.probes)
        ));
    }
    if seen.untracked > 0 {
        limits.push(format!(
            "At least {} beyond limits.dependents {} not known by name, and would be denied.",
            several(seen.untracked as usize, "caller", "callers"),
            if seen.untracked == 1 { "is" } else { "are" },
        ));
    }
    if !seen.own {
        limits.push("No agent runs where the point does: only callers on nodes with an agent are known.".to_owned());
    }
    if seen.blind.0 > 0 {
        limits.push(format!(
            "The data of {} of {} are incomplete: `narrows report` says whose and why.",
            seen.blind.0,
            several(seen.blind.1, "agent", "agents")
        ));
    }
    limits
}

/// The identities of some callers in the form of a policy, each once, with the workloads that have it as a comment.
pub fn principals(callers: &Callers, form: impl Fn(&str) -> String) -> Vec<Commented<String>> {
    let mut all = BTreeMap::<&str, (Vec<&str>, f64)>::new();
    for (caller, n) in &callers.known {
        let (names, sum) = all.entry(&caller.principal).or_default();
        names.push(&caller.name);
        *sum += n;
    }
    let comment = |names: Vec<&str>, n| printable(&format!("{}: {}", names.join(", "), connections(n))).into_owned();
    all.into_iter()
        .map(|(principal, (names, n))| Commented(form(principal), comment(names, n)))
        .collect()
}

/// What a policy about callers allows at a point behind which the pairs are not known, as sentences.
pub fn upper_bound(seen: &Seen) -> Vec<String> {
    let (identities, destinations) = (seen.callers.principals().len(), seen.destinations());
    let each = format!(
        "Each of {} at whatever is behind the point.",
        several(identities, "identity", "identities")
    );
    let pairs = match destinations {
        0 => "No destination is known by name: addresses outside of the cluster have one only with `networks`."
            .to_owned(),
        _ => format!(
            "That is an upper bound, dependents × served = {identities} × {destinations} = {}: this policy does not tell destinations \
             apart. narrows_path_connections_total shows which caller reached which, certain and estimated.",
            several(identities * destinations, "pair", "pairs")
        ),
    };
    vec![each, pairs]
}

/// Sentences about identities that several workloads have: a policy cannot tell these apart.
pub fn shared_identities(callers: &Callers) -> Vec<String> {
    let mut all = BTreeMap::<&str, Vec<&str>>::new();
    for caller in callers.known.keys() {
        all.entry(&caller.principal).or_default().push(&caller.name);
    }
    all.retain(|_, names| names.len() > 1);
    all.into_iter()
        .map(|(principal, names)| {
            format!(
                "{} have one identity, {principal}, and are allowed as one.",
                names.join(" and ")
            )
        })
        .collect()
}

/// Sentences about connections without a known identity.
pub fn denied(others: Vec<(String, f64)>) -> Vec<String> {
    others
        .into_iter()
        .map(|(name, n)| {
            let what = match name.as_str() {
                "unknown" => "from callers that were not identified",
                "_other" => "from callers beyond limits.dependents",
                "_former" => "from callers that lost a series of their own",
                "external" => "from outside of the cluster",
                "node" => "from nodes: health probes, or clients whose addresses a node translates",
                "points" => "from other points, whose identities are in no series",
                name if is_plain(name) => "that no point carried, so that they do not show its identity",
                name if is_point(name) => "of a point, whose identity is in no series",
                _ => "without an identity in the mesh",
            };
            format!("{name}: {} {what}; they would be denied.", connections(n))
        })
        .collect()
}

/// The number of namespaces of the callers with an identity.
fn namespaces(callers: &Callers) -> usize {
    let namespace = |name: &str| {
        name.rsplit_once('/')
            .map_or(String::new(), |(namespace, _)| namespace.to_owned())
    };
    let all: BTreeSet<_> = callers.known.keys().map(|caller| namespace(&caller.name)).collect();
    all.len()
}

/// A number of connections; over a window of a Prometheus it is extrapolated, and has a fraction.
pub fn connections(n: f64) -> String {
    match format!("{n:.0}").as_str() {
        "1" => "1 connection".to_owned(),
        "0" if n > 0.0 => "less than 1 connection".to_owned(),
        n => format!("{n} connections"),
    }
}
