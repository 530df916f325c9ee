//! What a restart of each shared point would cut.

use super::{
    block::{Block, NOT_KNOWN, table},
    evidence::Evidence,
    facts::GRACES,
    findings::{Findings, Rank},
    point::Point,
};

/// The section; nothing where no agent counts connections by age.
pub fn section(page: &mut Vec<Block>, evidence: &Evidence, findings: &Findings) {
    let shared = (findings.ranking.iter()).filter_map(|rank| Some((rank, evidence.points.get(&rank.point)?)));
    let mut rows: Vec<_> = shared.filter(|(_, point)| !point.restart.is_empty()).collect();
    if rows.is_empty() {
        return;
    }
    let cut = |point: &Point, age: &str| point.restart.get(age).copied();
    rows.sort_by(|(_, one), (_, other)| {
        let most = |point| GRACES.map(|(age, _)| cut(point, age).unwrap_or(0.0));
        most(other).partial_cmp(&most(one)).unwrap_or(std::cmp::Ordering::Equal)
    });
    page.push(Block::Heading(2, "What a restart cuts".into()));
    page.push(Block::Text(
        "Connections that a restart would have cut at the worst moment of the time: those at least as old as its grace, as the sum of \
         each instance's highest number. `narrows rehearse --point NAMESPACE/NAME` says whose they are, and when a restart cuts fewest."
            .into(),
    ));
    let text = |n: Option<f64>| n.map_or_else(|| NOT_KNOWN.to_owned(), |n| format!("{n:.0}"));
    let row = |(rank, point): (&Rank, &Point)| {
        let mut row = vec![format!("{} {}", rank.kind, rank.point)];
        row.extend(GRACES.map(|(age, _)| text(cut(point, age))));
        row
    };
    let [short, long] = GRACES.map(|(_, head)| head);
    table(page, vec!["point", short, long], rows.into_iter().map(row).collect());
}
