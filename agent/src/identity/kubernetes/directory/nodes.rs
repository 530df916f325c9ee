//! The cluster's nodes: their addresses, and how many are to have an agent.

use crate::identity::kubernetes::objects::Node;
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

/// What is kept of a node.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    addresses: Vec<IpAddr>,
    /// Whether it is to have an agent.
    is_covered: bool,
}

/// All nodes, by the key of their object.
#[derive(Debug, Default)]
pub struct Nodes {
    known: HashMap<u128, Known>,
    /// The addresses of all of them.
    addresses: HashSet<IpAddr>,
}

impl Nodes {
    /// Adds or updates a node. Returns whether anything changed: kubelets update their nodes often, mostly without a change.
    pub fn apply(&mut self, key: u128, node: &Node, is_covered: bool) -> bool {
        let addresses = node.status.addresses.iter();
        let now = Known {
            addresses: addresses.filter_map(|address| address.address.parse().ok()).collect(),
            is_covered,
        };
        let changes = self.known.get(&key) != Some(&now);
        if changes {
            self.known.insert(key, now);
            self.collect();
        }
        changes
    }

    /// Deletes a node. Returns whether it was known.
    pub fn remove(&mut self, key: u128) -> bool {
        let was_known = self.known.remove(&key).is_some();
        if was_known {
            self.collect();
        }
        was_known
    }

    fn collect(&mut self) {
        self.addresses = self.known.values().flat_map(|node| &node.addresses).copied().collect();
    }

    /// Whether it is the address of a node.
    pub fn have(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Whether the node with this key is known.
    pub fn contains(&self, key: u128) -> bool {
        self.known.contains_key(&key)
    }

    /// The keys of all nodes.
    pub fn keys(&self) -> impl Iterator<Item = u128> {
        self.known.keys().copied()
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Number of nodes that are to have an agent.
    pub fn covered(&self) -> usize {
        self.known.values().filter(|node| node.is_covered).count()
    }
}
