//! Who depends on which point, and who is reached through it: three fixed columns, workloads → points → destinations.

use crate::cli::{
    name::Name,
    report::{
        evidence::Evidence,
        findings::{ALL, Findings, Rank},
        percent::percent,
        point::Point,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The number of points that are drawn, the first of the ranking, as in "What if one of them fails".
const POINTS: usize = 5;

/// The number of workloads that are drawn in each column; the others are one node.
const WORKLOADS: usize = 10;

/// The numbers of the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// The points that are drawn, the most critical first.
    pub points: Vec<Node>,
    /// The workloads that depend on them.
    pub workloads: Column,
    /// The workloads that are reached through them.
    pub destinations: Column,
    /// How many shared points are not drawn.
    pub more_points: usize,
}

/// A point.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: Name,
    /// Its highest saturation and that resource; `None` where it is not known.
    pub saturation: Option<(f64, String)>,
}

/// The workloads on one side of the points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// The names that are drawn, from top to bottom. If there are others, they are a node below these.
    pub names: Vec<Name>,
    /// How many are not drawn by name: a lower bound where the agents do not know all names.
    pub others: u64,
    /// From or to the points.
    pub edges: Vec<Edge>,
}

/// What is between a point and a workload, or all of those that are not drawn by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edge {
    /// The index of the point.
    pub point: usize,
    /// The index of the workload; one after the last name for the others.
    pub workload: usize,
    /// The number of connections, a lower bound.
    pub connections: f64,
    /// How many workloads have no other way out.
    pub without_another_way: u64,
    /// How many have one.
    pub with_another_way: u64,
    /// The share of a single workload's connections that goes this way, where it is known.
    pub share: Option<f64>,
    /// How many workloads it stands for.
    pub workloads: u64,
}

impl Flow {
    /// The picture of a report; `None` where no point is shared.
    pub fn of(evidence: &Evidence, findings: &Findings) -> Option<Self> {
        let ranks = || findings.ranking.iter().take(POINTS);
        let points: Vec<&Point> = ranks().filter_map(|rank| evidence.points.get(&rank.point)).collect();
        let node = |rank: &Rank| Node {
            kind: rank.kind.clone(),
            name: rank.point.clone(),
            saturation: rank.saturation.zip(rank.resource.clone()),
        };
        (!points.is_empty()).then(|| Self {
            points: ranks().map(node).collect(),
            workloads: Column::of(&points, |point| Side {
                ends: (point.dependents.iter()).map(|(name, share)| (name, *share)).collect(),
                connections: (point.from_dependents.iter())
                    .map(|(name, traffic)| (name, traffic.at_least()))
                    .collect(),
                untracked: point.untracked,
            }),
            destinations: Column::of(&points, |point| Side {
                ends: point.served.iter().map(|name| (name, None)).collect(),
                connections: (point.to_served.iter())
                    .map(|(name, traffic)| (name, traffic.at_least()))
                    .collect(),
                untracked: 0,
            }),
            more_points: findings.ranking.len().saturating_sub(POINTS),
        })
    }

    /// The same as rows of a table: of each point, what comes from whom and goes to whom.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let cell = |column: &Column, point: usize, shares: bool| {
            let edges = column.edges.iter().filter(|edge| edge.point == point);
            let parts: Vec<_> = edges.map(|edge| column.sentence(edge, shares)).collect();
            if parts.is_empty() {
                "–".to_owned()
            } else {
                parts.join(", ")
            }
        };
        let row = |(n, node): (usize, &Node)| {
            let point = format!("{} {}", node.kind, node.name);
            vec![
                point,
                cell(&self.workloads, n, true),
                cell(&self.destinations, n, false),
            ]
        };
        self.points.iter().enumerate().map(row).collect()
    }

    /// What is not drawn; empty where all is.
    pub fn left_out(&self) -> String {
        let several = |n: u64, what: &str| (n > 0).then(|| format!("{n} more {what}"));
        let grouped = [
            several(self.workloads.others, "dependents"),
            several(self.destinations.others, "destinations"),
        ];
        let grouped: Vec<_> = grouped.into_iter().flatten().collect();
        let mut text = String::new();
        if !grouped.is_empty() {
            let first = "By name are those without another way out, then those with the most connections.";
            text = format!("Drawn as one: {}. {first}", grouped.join(" and "));
        }
        if let Some(points) = several(self.more_points as u64, "shared points") {
            text += &format!(" Not drawn: {points}, further down in the ranking.");
        }
        text.trim_start().to_owned()
    }
}

/// What a point has on one side: workloads with the share that goes through it, and their connections.
struct Side<'a> {
    ends: BTreeMap<&'a Name, Option<f64>>,
    connections: BTreeMap<&'a Name, f64>,
    untracked: u64,
}

/// `_other` and `_former` are sums, not workloads.
fn is_sum(name: &str) -> bool {
    name.starts_with('_')
}

impl Column {
    fn of<'a>(points: &[&'a Point], side: impl Fn(&'a Point) -> Side<'a>) -> Self {
        let sides: Vec<Side<'_>> = points.iter().map(|point| side(point)).collect();
        let everyone: BTreeSet<&Name> = (sides.iter())
            .flat_map(|side| side.ends.keys().copied())
            .filter(|name| !is_sum(name))
            .collect();
        let weight = |name: &Name| -> (bool, f64) {
            let has_one_way =
                |side: &Side<'_>| side.ends.get(name).copied().flatten().is_some_and(|share| share >= ALL);
            let connections = sides.iter().filter_map(|side| side.connections.get(name)).sum();
            (sides.iter().any(has_one_way), connections)
        };
        let mut names: Vec<_> = everyone.into_iter().map(|name| (weight(name), name)).collect();
        names.sort_by(|((a_only, a), a_name), ((b_only, b), b_name)| {
            b_only.cmp(a_only).then(b.total_cmp(a)).then(a_name.cmp(b_name))
        });
        // A node for a single other one would be no smaller.
        let shown = if names.len() == WORKLOADS + 1 {
            names.len()
        } else {
            WORKLOADS
        };
        let more = names.split_off(shown.min(names.len()));
        // Beside the points that they belong to, so that few lines cross.
        let place = |name: &Name| -> f64 {
            let at = sides
                .iter()
                .enumerate()
                .filter(|(_, side)| side.ends.contains_key(name));
            let (sum, n) = at.fold((0.0, 0.0), |(sum, n), (index, _)| (sum + index as f64, n + 1.0));
            sum / f64::max(n, 1.0)
        };
        names.sort_by(|(_, a), (_, b)| place(a).total_cmp(&place(b)));
        let names: Vec<Name> = names.into_iter().map(|(_, name)| name.clone()).collect();
        // The lists of several points may be of the same workloads.
        let untracked = sides.iter().map(|side| side.untracked).max().unwrap_or_default();
        let edges = sides
            .iter()
            .enumerate()
            .flat_map(|(point, side)| side.edges(point, &names))
            .collect();
        Self {
            names,
            others: more.len() as u64 + untracked,
            edges,
        }
    }

    /// An edge in words.
    pub fn sentence(&self, edge: &Edge, shares: bool) -> String {
        let connections = format!("{:.0}", edge.connections);
        match self.names.get(edge.workload) {
            Some(name) if !shares => format!("{name} {connections}"),
            Some(name) => match edge.share {
                Some(share) => format!("{name} {connections} ({})", percent(share)),
                None => format!("{name} {connections} (share not known)"),
            },
            None if !shares => format!("{} others {connections}", edge.workloads),
            None => format!(
                "{} others {connections} ({} without another way)",
                edge.workloads, edge.without_another_way
            ),
        }
    }

    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        let has_others = self.edges.iter().any(|edge| edge.workload == self.names.len());
        self.names.len() + usize::from(has_others)
    }

    /// What is written at a node.
    pub fn label(&self, index: usize) -> String {
        self.names.get(index).cloned().unwrap_or_else(|| match self.others {
            0 => "others".to_owned(),
            n => format!("{n} others"),
        })
    }
}

impl Side<'_> {
    /// One for each name that is drawn, and one for all others.
    fn edges(&self, point: usize, names: &[Name]) -> Vec<Edge> {
        let mut edges = Vec::new();
        let mut others = Edge {
            point,
            workload: names.len(),
            workloads: self.untracked,
            ..Edge::default()
        };
        let sums = self.connections.iter().filter(|(name, _)| is_sum(name));
        others.connections += sums.map(|(_, connections)| connections).sum::<f64>();
        for (name, share) in self.ends.iter().filter(|(name, _)| !is_sum(name)) {
            let drawn = names.iter().position(|it| it == *name);
            let mut one = Edge {
                point,
                workload: drawn.unwrap_or_default(),
                share: *share,
                ..Edge::default()
            };
            let edge = if drawn.is_some() { &mut one } else { &mut others };
            edge.connections += self.connections.get(*name).copied().unwrap_or_default();
            edge.workloads += 1;
            edge.without_another_way += u64::from(share.is_some_and(|share| share >= ALL));
            edge.with_another_way += u64::from(share.is_some_and(|share| share < ALL));
            edges.extend(drawn.map(|_| one));
        }
        edges.sort_by_key(|edge| edge.workload);
        edges.extend((others.workloads > 0 || others.connections > 0.0).then_some(others));
        edges
    }
}
