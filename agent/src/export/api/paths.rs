//! `/api/v1/paths`.

use super::{
    super::snapshot::Snapshot,
    as_of::as_of,
    endpoints::{Side, endpoints, rest},
    problem::Problem,
    query::Query,
};
use crate::{
    api::{Certainty, Edge, Group, Node, NodeType, Paths, Traffic, point_id, workload_id},
    identity::Workload,
    model::rows::PointRow,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Its parameters.
pub const PARAMETERS: [&str; 5] = ["limit", "group", "point", "namespace", "active"];

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
    let (group, point) = (group.unwrap_or_default(), query.text("point")?);
    let namespace = query.text("namespace")?;
    let active = query
        .choice("active", &[("true", true), ("false", false)])?
        .unwrap_or_default();
    let limit = query.limit(LIMITS.0, LIMITS.1)?;
    let mut picture = Picture::default();
    let mut is_known = point.is_none();
    for row in &snapshot.points {
        let id = point_id(&row.load.point);
        if point.is_some_and(|wanted| wanted != id) {
            continue;
        }
        is_known = true;
        picture.add_point(&id, row);
        for side in Side::ALL {
            for (workload, traffic) in endpoints(snapshot, row, side) {
                if namespace.is_none_or(|wanted| workload.namespace == wanted) && (traffic.active || !active) {
                    picture.add(&id, side, node(workload, group), &traffic);
                }
            }
            for rest in rest(snapshot, row, side).filter(|rest| namespace.is_none() && (rest.traffic.active || !active))
            {
                picture.add(&id, side, rest_node(&id, side, &rest.name), &rest.traffic);
            }
        }
    }
    match (is_known, point) {
        (false, Some(id)) => Err(Problem::unknown_point(id)),
        _ => Ok(picture.shown(snapshot, group, limit)),
    }
}

/// Nodes by their identifiers, and edges by their ends.
#[derive(Default)]
struct Picture {
    nodes: HashMap<String, Node>,
    edges: BTreeMap<(String, String), Edge>,
}

impl Picture {
    fn add_point(&mut self, id: &str, row: &PointRow) {
        let point = &row.load.point;
        let namespace = point.name.split_once('/').map_or("", |(namespace, _)| namespace);
        let node = Node {
            id: id.to_owned(),
            r#type: NodeType::Point,
            namespace: namespace.to_owned(),
            name: point.name.clone(),
            kind: Some(point.kind),
            mesh: Some(point.mesh),
            instance: Some(point.instance.clone()),
        };
        self.nodes.insert(id.to_owned(), node);
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

    fn shown(self, snapshot: &Snapshot, group: Group, limit: usize) -> Paths {
        let mut edges: Vec<_> = self.edges.into_values().collect();
        let total_edges = edges.len();
        // By name where nothing else decides, so that the picture stays.
        edges.sort_by(|one, other| {
            let key = |edge: &Edge| (edge.active, edge.open_connections, edge.opened_total);
            key(other)
                .cmp(&key(one))
                .then_with(|| (&one.from, &one.to).cmp(&(&other.from, &other.to)))
        });
        let omitted = edges.split_off(limit.min(edges.len()));
        let named: HashSet<_> = edges.iter().flat_map(|edge| [&edge.from, &edge.to]).collect();
        let mut nodes: Vec<_> = self.nodes.into_values().collect();
        // A point without edges is still a point.
        nodes.retain(|node| node.r#type == NodeType::Point || named.contains(&node.id));
        nodes.sort_by(|one, other| (one.r#type, &one.id).cmp(&(other.r#type, &other.id)));
        Paths {
            as_of: as_of(snapshot),
            group,
            nodes,
            edges,
            total_edges,
            omitted_edges: omitted.len(),
            omitted_open_connections: omitted.iter().map(|edge| edge.open_connections).sum(),
        }
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
    }
}
