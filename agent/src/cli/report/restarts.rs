//! What a restart of each shared point would cut.

use super::{
    block::{Block, NOT_KNOWN, table},
    evidence::Evidence,
};
use crate::cli::rehearse::{Dependent, Estimate, Grace, estimate, hour};

/// The number of workloads that are named with a restart.
const HURT: usize = 3;

/// The section; nothing where no agent counts connections by age.
pub fn section(page: &mut Vec<Block>, evidence: &Evidence) {
    let rehearsals = &evidence.rehearsals;
    if rehearsals.points.is_empty() && rehearsals.why_not.is_none() {
        return;
    }
    page.push(Block::Heading(2, "What a restart cuts".into()));
    if let Some(why_not) = &rehearsals.why_not {
        page.push(Block::Text(format!("Not known of all points: {why_not}.")));
    }
    let has_past = rehearsals
        .points
        .values()
        .flatten()
        .any(|grace| grace.in_window.is_some());
    page.push(Block::Text(
        match has_past {
            true => {
                "Connections that a restart would have cut at the worst moment of the time: those at least as old as its grace, of one \
                 instance, and of all instances if they had been restarted at the same time. Most hurt: the workloads with the highest \
                 means. Fewest: the hour in which it should have begun, with the mean and the most of all instances."
            }
            false => {
                "Connections that a restart would cut now: those at least as old as its grace. Which hour is best takes --prometheus."
            }
        }
        .into(),
    ));
    page.push(Block::Text(
        "Graces are the default of Kubernetes, five minutes, and the shortest one that spares nearly all connections (95 %) that one of a day \
         would spare, if any does. `~` marks estimates, with the numbers that they lie between. `narrows rehearse` asks about other \
         points and graces."
            .into(),
    ));
    let mut points: Vec<_> = rehearsals.points.iter().collect();
    let most = |graces: &[Grace]| graces.first().map_or(0.0, |grace| worst(grace)[1].connections);
    points.sort_by(|(_, one), (_, other)| most(other).total_cmp(&most(one)));
    let rows = points.into_iter().flat_map(|(name, graces)| {
        let kind = evidence.points.get(name).map_or("", |point| point.kind.as_str());
        graces.iter().map(move |grace| row(&format!("{kind} {name}"), grace))
    });
    let mut head = vec!["point", "grace", "one instance", "all at once", "most hurt"];
    head.extend(has_past.then_some("fewest"));
    table(page, head, rows.collect());
}

/// The worst case: of one instance, and of all at once.
fn worst(grace: &Grace) -> [Estimate; 2] {
    match &grace.in_window {
        Some(past) => [past.most_of_one, past.most],
        None => [grace.now_of_one, grace.now],
    }
}

fn row(point: &str, grace: &Grace) -> Vec<String> {
    let of = |dependent: &Dependent| dependent.mean.unwrap_or(dependent.now);
    let is_workload = |dependent: &&Dependent| dependent.name.contains('/') && of(dependent).connections > 0.0;
    let mut hurt: Vec<_> = grace.dependents.iter().filter(is_workload).collect();
    hurt.sort_by(|one, other| of(other).connections.total_cmp(&of(one).connections));
    let hurt = hurt.into_iter().take(HURT);
    let hurt: Vec<_> = hurt.map(|it| format!("{} {}", it.name, estimate(of(it)))).collect();
    let [one, all] = worst(grace).map(estimate);
    let hurt = if hurt.is_empty() {
        "nobody known".to_owned()
    } else {
        hurt.join(", ")
    };
    let mut row = vec![point.to_owned(), grace.grace.clone(), one, all, hurt];
    row.extend((grace.in_window.as_ref()).map(|past| past.fewest.map_or_else(|| NOT_KNOWN.to_owned(), hour)));
    row
}
