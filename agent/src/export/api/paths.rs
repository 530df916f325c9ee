//! `/api/v1/paths`.

use super::{
    super::snapshot::Snapshot,
    as_of::as_of,
    endpoints::{self, Side, endpoints, rest},
    point::point,
    points::{self, Wanted},
    problem::Problem,
    query::Query,
};
use crate::{
    api::{Certainty, Edge, Group, Node, NodeType, Paths, Point, PointName, Traffic, point_id, workload_id},
    identity::Workload,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Its parameters.
pub const PARAMETERS: [&str; 9] = [
    "limit",
    "after",
    "group",
    "point",
    "kind",
    "mesh",
    "namespace",
    "search",
    "active",
];

/// Edges in an answer, unless it is said, and at most.
const LIMITS: (usize, usize) = (2_000, 20_000);

/// The flow picture.
///
/// # Errors
/// When a parameter is not valid.
pub fn of(snapshot: &Snapshot, query: &Query) -> Result<Paths, Problem> {
    let group = query.choice(
        "group",
        &[("workload", Group::Workload), ("namespace", Group::Namespace)],
    )?;
    let (group, only) = (group.unwrap_or_default(), query.text("point")?);
    let (wanted, search, namespace) = (Wanted::read(query)?, query.search()?, query.text("namespace")?);
    let active = query
        .choice("active", &[("true", true), ("false", false)])?
        .unwrap_or_default();
    let (mut picture, offer) = (Picture::default(), snapshot.offer());
    let mut is_known = only.is_none();
    for row in &snapshot.points {
        let id = point_id(&row.load.point);
        if only.is_some_and(|only| only != id) {
            continue;
        }
        is_known = true;
        if !wanted.is(&row.load.point) {
            continue;
        }
        // Who searches for a point sees all of it, and who searches for a workload its points.
        let sought = search.as_ref();
        let sought = sought.filter(|search| !search.is_in(&points::searched(&row.load.point)));
        picture.add_point(point(snapshot, &offer, row), sought.is_none());
        for side in Side::ALL {
            for (workload, traffic) in endpoints(snapshot, row, side) {
                let Workload {
                    namespace: of,
                    name,
                    principal,
                    ..
                } = workload;
                let is_sought = || sought.is_none_or(|search| search.is_in(&endpoints::searched(of, name, principal)));
                if namespace.is_none_or(|wanted| of == wanted) && (traffic.active || !active) && is_sought() {
                    picture.add(&id, side, node(workload, group), &traffic);
                }
            }
            let is_whole = namespace.is_none() && sought.is_none();
            for rest in rest(snapshot, row, side).filter(|rest| is_whole && (rest.traffic.active || !active)) {
                picture.add(&id, side, rest_node(&id, side, &rest.name), &rest.traffic);
            }
        }
    }
    match (is_known, only) {
        (false, Some(id)) => Err(Problem::unknown_point(id)),
        _ => picture.shown(snapshot, group, query),
    }
}

/// Nodes by their identifiers, and edges by their ends.
#[derive(Default)]
struct Picture {
    nodes: HashMap<String, Node>,
    edges: BTreeMap<(String, String), Edge>,
    /// Points that are shown even without an edge.
    alone: HashSet<String>,
}

impl Picture {
    fn add_point(&mut self, point: Point, is_alone: bool) {
        let PointName {
            id,
            name,
            kind,
            mesh,
            instance,
        } = point.name;
        let namespace = name.split_once('/').map_or("", |(namespace, _)| namespace);
        let node = Node {
            id: id.clone(),
            r#type: NodeType::Point,
            namespace: namespace.to_owned(),
            name,
            kind: Some(kind),
            mesh: Some(mesh),
            instance: Some(instance),
            severity: Some(point.trouble.severity),
        };
        if is_alone {
            self.alone.insert(id.clone());
        }
        self.nodes.insert(id, node);
    }

    fn add(&mut self, point: &str, side: Side, other: Node, traffic: &Traffic) {
        let ends = match side {
            Side::Dependents => (other.id.clone(), point.to_owned()),
            Side::Served => (point.to_owned(), other.id.clone()),
        };
        self.nodes.entry(other.id.clone()).or_insert(other);
        let (from, to) = ends.clone();
        let edge = self.edges.entry(ends).or_insert_with(|| Edge {
            from,
            to,
            certainty: Certainty::Counted,
            active: false,
            open_connections: 0,
            opened_total: 0,
            opened_per_second: None,
            bytes_total: 0,
            failures_total: 0,
        });
        edge.active |= traffic.active;
        edge.open_connections += traffic.open_connections;
        edge.opened_total += traffic.opened_total;
        edge.bytes_total += traffic.bytes_total;
        edge.failures_total += traffic.failures_total;
        if let Some(rate) = traffic.opened_per_second {
            *edge.opened_per_second.get_or_insert(0.0) += rate;
        }
    }

    fn shown(self, snapshot: &Snapshot, group: Group, query: &Query) -> Result<Paths, Problem> {
        let edges = self.edges.into_iter();
        let mut edges: Vec<_> = edges
            .map(|((from, to), edge)| (format!("{from}~to~{to}"), edge))
            .collect();
        // By name where nothing else decides, so that the picture stays.
        edges.sort_by(|(_, one), (_, other)| {
            let key = |edge: &Edge| (edge.active, edge.open_connections, edge.opened_total);
            key(other)
                .cmp(&key(one))
                .then_with(|| (&one.from, &one.to).cmp(&(&other.from, &other.to)))
        });
        let open = |edges: &[(String, Edge)]| edges.iter().map(|(_, edge)| edge.open_connections).sum::<i64>();
        let page = query.page(&edges, LIMITS.0, LIMITS.1, |(id, _)| id)?;
        let named: HashSet<_> = page.items.iter().flat_map(|(_, edge)| [&edge.from, &edge.to]).collect();
        let mut nodes: Vec<_> = self.nodes.into_values().collect();
        nodes.retain(|node| self.alone.contains(&node.id) || named.contains(&node.id));
        nodes.sort_by(|one, other| (one.r#type, &one.id).cmp(&(other.r#type, &other.id)));
        Ok(Paths {
            as_of: as_of(snapshot),
            group,
            nodes,
            total_edges: edges.len(),
            omitted_edges: edges.len() - page.items.len(),
            omitted_open_connections: open(&edges) - open(page.items),
            edges: page.items.iter().map(|(_, edge)| edge.clone()).collect(),
            next: page.next,
        })
    }
}

fn node(workload: &Workload, group: Group) -> Node {
    let (id, r#type, name) = match group {
        Group::Workload => (workload_id(workload), NodeType::Workload, &workload.name),
        Group::Namespace => (workload.namespace.clone(), NodeType::Namespace, &workload.namespace),
    };
    Node {
        id,
        r#type,
        namespace: workload.namespace.clone(),
        name: name.clone(),
        kind: None,
        mesh: None,
        instance: None,
        severity: None,
    }
}

/// The sum of the workloads of one point that are not in detail: those of two points are not the same.
fn rest_node(point: &str, side: Side, name: &str) -> Node {
    let of = match side {
        Side::Dependents => "dependents",
        Side::Served => "served",
    };
    Node {
        id: format!("{point}~{of}~{name}"),
        r#type: NodeType::Rest,
        namespace: String::new(),
        name: name.to_owned(),
        kind: None,
        mesh: None,
        instance: None,
        severity: None,
    }
}
