//! The report as one page of headings, sentences and tables.

use super::{
    block::{Block, NOT_KNOWN, ROWS, names, table},
    compare::Changes,
    controls,
    evidence::Evidence,
    findings::{Findings, Rank, WhatIf},
    percent::percent,
    picture_page,
    pictures::Trend,
    restarts,
    source::About,
    verdict_page,
};
use crate::{cli::name::Name, several::several};

fn or_not_known<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| NOT_KNOWN.to_owned(), text)
}

/// Builds the page from evidence and findings.
pub fn page(
    about: &About,
    evidence: &Evidence,
    findings: &Findings,
    trend: &Result<Option<Trend>, String>,
    changes: Option<&Changes>,
) -> Vec<Block> {
    let mut page = vec![
        Block::Heading(
            1,
            "Enforcement points: where policy is enforced, and where failures will concentrate".into(),
        ),
        Block::Text(format!(
            "Source: {}. Time: {}. Written at {}.",
            about.source, about.window, about.written
        )),
    ];
    if !about.limits.is_empty() {
        page.push(Block::List(
            about.limits.iter().map(|limit| (*limit).to_owned()).collect(),
        ));
    }
    summary(&mut page, evidence, findings);
    page.extend(changes.map(Changes::blocks).into_iter().flatten());
    picture_page::flow(&mut page, evidence, findings);
    policy(&mut page, findings);
    observation(&mut page, about, evidence, findings);
    concentration(&mut page, findings);
    consequences(&mut page, findings);
    restarts::section(&mut page, evidence);
    picture_page::trend(&mut page, trend);
    verdict_page::time_to_full(&mut page, &evidence.verdicts);
    verdict_page::hanging(&mut page, &evidence.verdicts);
    boundary(&mut page, evidence, findings);
    scope(&mut page, findings);
    appendix(&mut page, about, evidence, findings);
    page
}

fn summary(page: &mut Vec<Block>, evidence: &Evidence, findings: &Findings) {
    let first = match findings.ranking.first() {
        Some(rank) => format!(
            "Most critical: {} {}. {} depend on it, {} of them without another way out.",
            rank.kind,
            rank.point,
            several(rank.dependents as usize, "workload", "workloads"),
            or_not_known(rank.without_another_way, |n| n.to_string()),
        ),
        None => "No point is shared by several workloads.".into(),
    };
    page.push(Block::List(vec![
        first,
        format!(
            "{} known. Connections that workloads accepted and that a point carried: {}. Connections that bypassed an expected point: \
            {:.0}.",
            several(evidence.points.len(), "point is", "points are"),
            or_not_known(findings.enforced, percent),
            evidence.bypassed(),
        ),
        format!("Identified connection ends: {}.", or_not_known(findings.attributed, percent)),
    ]));
}

fn policy(page: &mut Vec<Block>, findings: &Findings) {
    page.push(Block::Heading(2, "Where policy is enforced".into()));
    page.push(Block::Text(
        "Which points the connections of each workload pass, from what was observed. In brackets: the share of the workload's own \
         connections."
            .into(),
    ));
    let out = |(point, share): (&Name, &Option<f64>)| match share {
        Some(share) => format!("{point} ({})", percent(*share)),
        None => point.clone(),
    };
    let dash = |text: String| if text.is_empty() { "–".to_owned() } else { text };
    let rows = findings.policy.iter().map(|(name, policy)| {
        let modes = policy.modes.iter().cloned().collect::<Vec<_>>().join(", ");
        vec![
            name.clone(),
            if modes.is_empty() { NOT_KNOWN.into() } else { modes },
            dash(policy.out.iter().map(out).collect::<Vec<_>>().join(", ")),
            dash(policy.into.iter().cloned().collect::<Vec<_>>().join(", ")),
        ]
    });
    table(
        page,
        vec!["workload", "mode", "out through", "reached through"],
        rows.collect(),
    );
}

fn observation(page: &mut Vec<Block>, about: &About, evidence: &Evidence, findings: &Findings) {
    page.push(Block::Heading(2, "Where traffic is observed".into()));
    page.push(Block::Text(format!(
        "Connection ends that were attributed to a workload, a point, a node or an external address: {}.",
        or_not_known(findings.attributed, percent)
    )));
    let total: f64 = evidence.attributed.values().sum();
    let rows = evidence.attributed.iter().filter(|(_, n)| **n > 0.0);
    let rows: Vec<_> = rows
        .map(|(result, n)| vec![result.clone(), format!("{n:.0}"), percent(n / total)])
        .collect();
    if !rows.is_empty() {
        table(page, vec!["found", "ends", "share"], rows);
    }
    let blind: Vec<String> = evidence
        .agents
        .iter()
        .filter(|(_, agent)| !agent.sees_all())
        .map(|(name, agent)| {
            let list =
                |what: &str, names: Vec<String>| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
            let lost = agent.lost.iter().map(|(what, n)| format!("{what} ({n:.0})"));
            let parts = [
                (agent.up == Some(false)).then(|| "cannot be scraped".to_owned()),
                list("programs not attached:", agent.inactive.iter().cloned().collect()),
                list("not offered by the node:", agent.signals_off.iter().cloned().collect()),
                list("lost:", lost.collect()),
                list("stale lists:", agent.stale.iter().cloned().collect()),
            ];
            let name = if name.is_empty() { "the agent" } else { name };
            format!("{name}: {}", parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
        })
        .collect();
    let agents = match evidence.nodes {
        Some(nodes) => format!(
            "{} on {}",
            several(evidence.agents.len(), "agent", "agents"),
            several(nodes as usize, "node", "nodes")
        ),
        None => several(evidence.agents.len(), "agent", "agents"),
    };
    let uncovered = evidence.nodes.unwrap_or(0).saturating_sub(evidence.agents.len() as u64);
    // A report from one agent knows the nodes, and not their agents.
    if uncovered > 0 && about.queries.is_some() {
        page.push(Block::Text(format!(
            "Nodes without an agent: {uncovered}. What happens there is not observed."
        )));
    }
    if blind.is_empty() {
        page.push(Block::Text(format!(
            "Blind spots: none, as far as is known ({agents})."
        )));
    } else {
        page.push(Block::Text(format!("Blind spots, at {} of {agents}:", blind.len())));
        let more = blind.len().saturating_sub(ROWS);
        let mut shown: Vec<_> = blind.into_iter().take(ROWS).collect();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        page.push(Block::List(shown));
    }
}

fn row(rank: &Rank) -> Vec<String> {
    let number = |n: u64| n.to_string();
    let saturation = match (&rank.saturation, &rank.resource) {
        (Some(most), Some(resource)) => format!("{} ({resource})", percent(*most)),
        _ => NOT_KNOWN.into(),
    };
    vec![
        format!("{} {}", rank.kind, rank.point),
        number(rank.dependents),
        or_not_known(rank.without_another_way, number),
        rank.served.to_string(),
        saturation,
        match (rank.instances, rank.nodes) {
            (Some(instances), Some(nodes)) => format!("{instances} on {}", several(nodes as usize, "node", "nodes")),
            _ => NOT_KNOWN.into(),
        },
        or_not_known(rank.failures_own, percent),
        or_not_known(rank.failures_callers, percent),
        or_not_known(rank.score, |score| format!("{score:.2}")),
    ]
}

fn concentration(page: &mut Vec<Block>, findings: &Findings) {
    page.push(Block::Heading(2, "Where failures will concentrate".into()));
    if findings.ranking.is_empty() {
        page.push(Block::Text("No point is shared by several workloads.".into()));
        return;
    }
    page.push(Block::Text(
        "Points that several workloads share, ranked by score = dependents without another way out × highest saturation × missing \
         redundancy. Missing redundancy is 1 / nodes with an instance; it is 1 for proxies of which each node has one, which are ranked by \
         node. Points with an unknown score come before those with a score of 0."
            .into(),
    ));
    picture_page::bars(page, findings);
    table(
        page,
        vec![
            "point",
            "dependents",
            "no other way",
            "served",
            "highest saturation",
            "instances",
            "failures, own",
            "failures, callers",
            "score",
        ],
        findings.ranking.iter().map(row).collect(),
    );
}

fn consequences(page: &mut Vec<Block>, findings: &Findings) {
    if findings.what_if.is_empty() {
        return;
    }
    page.push(Block::Heading(2, "What if one of them fails".into()));
    for it in &findings.what_if {
        page.push(Block::Heading(3, it.point.clone()));
        page.push(Block::List(consequence(it)));
    }
}

fn consequence(it: &WhatIf) -> Vec<String> {
    let mut list = Vec::new();
    if !it.cut_off.is_empty() {
        list.push(format!("Without any way out: {}.", names(&it.cut_off)));
    }
    if !it.impaired.is_empty() {
        let parts: Vec<_> = it
            .impaired
            .iter()
            .map(|(name, share)| format!("{name} ({})", percent(*share)))
            .collect();
        list.push(format!("Lose a part of their connections: {}.", names(&parts)));
    }
    if !it.unknown.is_empty() {
        list.push(format!(
            "Lose an unknown share of their connections (no agent runs on their nodes): {}.",
            names(&it.unknown)
        ));
    }
    if !it.unreachable.is_empty() {
        list.push(format!(
            "No longer reachable, as no connection to them was observed other than through this point: {}.",
            names(&it.unreachable)
        ));
    }
    if list.is_empty() {
        list.push("No workload was observed to depend on it, or to be reached through it.".into());
    }
    list
}

fn boundary(page: &mut Vec<Block>, evidence: &Evidence, findings: &Findings) {
    page.push(Block::Heading(2, "What bypasses policy".into()));
    if evidence.bypasses.is_empty() {
        page.push(Block::Text(
            "No connection was observed to bypass an expected point.".into(),
        ));
    } else {
        let rows = evidence.bypasses.iter().map(|bypass| {
            vec![
                format!("{} {}", bypass.kind, bypass.point),
                bypass.source.clone(),
                bypass.destination.clone(),
                format!("{:.0}", bypass.connections),
            ]
        });
        table(page, vec!["expected", "from", "to", "connections"], rows.collect());
    }
    verdict_page::boundary(page, &evidence.verdicts);
    page.push(Block::Text(if findings.mixed.is_empty() {
        "No workload was observed with pods in different mesh modes.".into()
    } else {
        format!(
            "Workloads with pods in different mesh modes: {}.",
            names(&findings.mixed)
        )
    }));
}

fn scope(page: &mut Vec<Block>, findings: &Findings) {
    if findings.scope.is_empty() {
        return;
    }
    page.push(Block::Heading(2, "Scope against use".into()));
    page.push(Block::Text(
        "What each shared point carried: who called through it, and how many workloads were reached. `narrows policy --point POINT` \
         drafts a policy that allows this and nothing else."
            .into(),
    ));
    let rows = findings.scope.iter().map(|it| {
        let more = match it.untracked {
            0 => String::new(),
            n => format!(
                ", and those of at least {}",
                several(n as usize, "more caller", "more callers")
            ),
        };
        vec![
            format!("{} {}", it.kind, it.point),
            format!("{}{more}", it.identities),
            it.namespaces.to_string(),
            it.destinations.to_string(),
        ]
    });
    table(
        page,
        vec!["point", "identities", "namespaces", "destinations"],
        rows.collect(),
    );
    let accepts: Vec<_> = findings.scope.iter().filter_map(|it| it.accepts.clone()).collect();
    if !accepts.is_empty() {
        page.push(Block::List(accepts));
    }
}

fn appendix(page: &mut Vec<Block>, about: &About, evidence: &Evidence, findings: &Findings) {
    page.push(Block::Heading(2, "Appendix: what this is evidence for".into()));
    page.push(Block::Text(
        "Evidence, not compliance: what was measured, and the query that reproduces it. Queries that name `narrows_point:` need the \
        recording rules in deploy/prometheus."
            .into(),
    ));
    let window = about.queries.as_deref().unwrap_or("24h");
    let rows = controls::all(evidence, findings, window).into_iter().map(|it| {
        vec![
            it.control.to_owned(),
            it.asks.to_owned(),
            it.figure,
            format!("`{}`", it.query),
        ]
    });
    page.push(Block::Table(
        vec!["control", "asks for", "figure", "query"],
        rows.collect(),
    ));
}
