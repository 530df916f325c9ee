//! Finds cycles in a graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The shortest cycle through each node that is in one, each cycle once. The first node is not repeated at the end.
pub(super) fn circles<'a, N: Ord, E>(edges: &'a BTreeMap<N, BTreeMap<N, E>>) -> Vec<Vec<&'a N>> {
    let mut seen = BTreeSet::new();
    let found = edges.keys().filter_map(|node| through(edges, node));
    found
        .filter(|circle| seen.insert(circle.iter().copied().collect::<BTreeSet<&'a N>>()))
        .collect()
}

fn through<'a, N: Ord, E>(edges: &'a BTreeMap<N, BTreeMap<N, E>>, node: &'a N) -> Option<Vec<&'a N>> {
    let mut from: BTreeMap<&N, &N> = BTreeMap::new();
    let mut waiting = VecDeque::from([node]);
    while let Some(at) = waiting.pop_front() {
        for next in edges.get(at).into_iter().flat_map(BTreeMap::keys) {
            if next == node {
                let mut circle = vec![at];
                while let Some(before) = from.get(circle[circle.len() - 1]) {
                    circle.push(before);
                }
                circle.reverse();
                return Some(circle);
            }
            if !from.contains_key(next) {
                from.insert(next, at);
                waiting.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(char, char)]) -> BTreeMap<char, BTreeMap<char, ()>> {
        let mut graph: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry(*from).or_default().insert(*to, ());
        }
        graph
    }

    #[test]
    fn what_leads_nowhere_is_no_circle() {
        assert!(circles(&graph(&[('a', 'b'), ('a', 'c'), ('b', 'd'), ('c', 'd')])).is_empty());
    }

    #[test]
    fn each_circle_is_found_once_from_its_first_node_on() {
        let graph = graph(&[('a', 'b'), ('b', 'c'), ('c', 'b'), ('c', 'd'), ('d', 'e'), ('e', 'c')]);
        assert_eq!(circles(&graph), [vec![&'b', &'c'], vec![&'d', &'e', &'c']]);
    }
}
