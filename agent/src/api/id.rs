//! Identifiers of points and workloads: stable, and safe in a URL without any encoding.

use crate::{identity::Workload, points::Point};
use std::fmt::Write as _;

/// The identifier of an instance of a point: mesh, kind, name, instance. The same on every node and after a restart of the agent.
pub fn point_id(point: &Point) -> String {
    // Labels of kinds have underscores, but are a fixed set.
    let (mesh, kind) = (point.mesh.label(), point.kind.label());
    format!("{mesh}~{kind}~{}", joined(&[&point.name, &point.instance]))
}

/// The identifier of a workload: namespace, name, principal, which are also what makes two workloads the same.
pub fn workload_id(workload: &Workload) -> String {
    joined(&[&workload.namespace, &workload.name, &workload.principal])
}

/// Joins parts by `~`. Letters, digits, `-` and `.` stay, `/` becomes `__`, and any other byte `_` with two hexadecimal digits: no two
/// lists of as many parts have the same result.
fn joined(parts: &[&str]) -> String {
    let mut id = String::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            id.push('~');
        }
        for byte in part.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => id.push(char::from(byte)),
                b'/' => id.push_str("__"),
                // Writing to a string does not fail.
                _ => drop(write!(id, "_{byte:02x}")),
            }
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::{Kind, Mesh};

    #[test]
    fn a_point_is_named_by_what_makes_it_that_instance() {
        let point = Point {
            name: "shop/waypoint".into(),
            kind: Kind::EastWestGateway,
            mesh: Mesh::Istio,
            instance: "waypoint-6f7d9c8b5d-x2x7k".into(),
        };
        assert_eq!(
            point_id(&point),
            "istio~east_west_gateway~shop__waypoint~waypoint-6f7d9c8b5d-x2x7k"
        );
    }

    #[test]
    fn different_names_have_different_safe_ids() {
        let names = [
            "", "a", "a/b", "a_b", "a__b", "a_2fb", "a~b", "a b", "a%2Fb", "ä", "a?b#c", "..", "a__",
        ];
        let ids: std::collections::BTreeSet<_> = names.iter().map(|name| joined(&[name, "x"])).collect();
        assert_eq!(ids.len(), names.len(), "{ids:?}");
        for id in &ids {
            let is_safe = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
            assert!(id.chars().all(is_safe), "{id}");
        }
        assert_ne!(joined(&["a", "b~c"]), joined(&["a~b", "c"]));
    }
}
