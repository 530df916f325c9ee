//! Istio's AuthorizationPolicy (<https://istio.io/latest/docs/reference/config/security/authorization-policy/>).
//!
//! A policy at a waypoint names its Gateway in `targetRefs`, as waypoints ignore policies with a selector; other proxies are selected by
//! a label. A waypoint also accepts a Service as target, which tells destinations apart; but the agent knows the workloads that a
//! waypoint reaches, not the Services that select their pods, and a policy whose target does not exist has no effect. In a rule, a
//! destination is a host, which is of HTTP requests alone and denies everything else, or a port: the agent sees neither. So a policy at
//! a point that others share is about callers, and one about a destination selects its pods.

use super::{
    coverage::{self, Coverage},
    draft::{self, Draft, Metadata, Object, denied, shared_identities, upper_bound},
    seen::{Callers, Seen, split},
};
use crate::{cli::report::percent::percent, points::Kind, several::several};
use serde::Serialize;
use serde_saphyr::Commented;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    target_refs: Option<[TargetRef; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<Selector>,
    action: &'static str,
    rules: [Rule; 1],
}

#[derive(Debug, Serialize)]
struct TargetRef {
    group: &'static str,
    kind: &'static str,
    name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Rule {
    from: [From; 1],
}

#[derive(Debug, Serialize)]
struct From {
    source: Source,
}

#[derive(Debug, Serialize)]
struct Source {
    principals: Vec<Commented<String>>,
}

/// A policy that allows these callers. A waypoint's Gateway is its target; else pods with the label are selected.
fn policy(name: &str, label: Option<&str>, callers: &Callers) -> Object<Spec> {
    let (namespace, workload) = split(name);
    // Principals are written without the scheme.
    let principal = |id: &str| id.strip_prefix("spiffe://").unwrap_or(id).to_owned();
    let selector = label.map(|label| Selector {
        match_labels: BTreeMap::from([(label.to_owned(), workload.to_owned())]),
    });
    let target = TargetRef {
        group: "gateway.networking.k8s.io",
        kind: "Gateway",
        name: workload.to_owned(),
    };
    Object {
        api_version: "security.istio.io/v1",
        kind: "AuthorizationPolicy",
        metadata: Metadata {
            name: format!("narrows-{workload}"),
            namespace: namespace.to_owned(),
            labels: BTreeMap::new(),
        },
        spec: Spec {
            target_refs: selector.is_none().then_some([target]),
            selector,
            action: "ALLOW",
            rules: [Rule {
                from: [From {
                    source: Source {
                        principals: draft::principals(callers, principal),
                    },
                }],
            }],
        },
    }
}

/// One policy at the point: the callers that were seen.
///
/// # Errors
/// Below the coverage.
pub fn at_point(seen: &Seen, least: f64, label: &str) -> anyhow::Result<Draft> {
    let coverage = coverage::require(seen, [&seen.callers], least)?;
    let mut before = vec![adds_up()];
    let is_waypoint = seen.kind == Kind::Waypoint;
    before.push(match is_waypoint {
        true => "With a Service as target in place of the Gateway, a policy tells destinations apart. Which Services select the workloads \
                 above is not seen; who called these is in the certain part of narrows_path_connections_total."
            .to_owned(),
        false => selects(label),
    });
    let mut draft = Draft {
        coverage,
        allows: upper_bound(seen),
        unknown: (denied(coverage::others([&seen.callers])).into_iter())
            .chain(shared_identities(&seen.callers))
            .collect(),
        before,
        objects: Vec::new(),
    };
    draft.push(&policy(&seen.point, (!is_waypoint).then_some(label), &seen.callers))?;
    Ok(draft)
}

/// One policy for each workload behind the ztunnels: the callers that were seen at it.
///
/// # Errors
/// Below the coverage.
pub fn by_destination(seen: &Seen, least: f64, label: &str) -> anyhow::Result<Draft> {
    let coverage = coverage::require(seen, seen.pairs.values(), least)?;
    let enough = |callers: &Callers| !callers.known.is_empty() && Coverage::of([callers]).share() >= least;
    let (drafted, left_out): (Vec<_>, Vec<_>) = seen.pairs.iter().partition(|(_, callers)| enough(callers));
    let pairs: usize = drafted.iter().map(|(_, callers)| callers.principals().len()).sum();
    let mut unknown: Vec<_> = left_out
        .into_iter()
        .map(|(name, callers)| {
            format!(
                "{name}: no policy, as {} of its connections have a known identity ({}).",
                percent(Coverage::of([callers]).share()),
                coverage::listed(&coverage::others([callers]))
            )
        })
        .collect();
    for (name, callers) in &drafted {
        let about = |sentence: String| format!("At {name}: {sentence}");
        unknown.extend(denied(coverage::others([*callers])).into_iter().map(about));
        unknown.extend(shared_identities(callers).into_iter().map(about));
    }
    let mut draft = Draft {
        coverage,
        allows: vec![format!(
            "{} of caller and destination, and no other caller at these destinations.",
            several(pairs, "pair", "pairs")
        )],
        unknown,
        before: vec![
            adds_up(),
            selects(label),
            "A waypoint or gateway that sends to one of these workloads is one of its callers: without its identity here, what it sends \
             is denied."
                .to_owned(),
        ],
        objects: Vec::new(),
    };
    for (name, callers) in drafted {
        draft.push(&policy(name, Some(label), callers))?;
    }
    Ok(draft)
}

fn adds_up() -> String {
    "Policies that allow add up: another one for the same proxy allows what it allows. Without any, everything is allowed.".to_owned()
}

fn selects(label: &str) -> String {
    format!(
        "It selects pods by the label {label}; where they do not have it, it has no effect: pass another one with --selector-label."
    )
}
