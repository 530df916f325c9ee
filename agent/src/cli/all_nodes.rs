//! `--all-nodes`: one agent is asked, which asks those of the other nodes.

use super::output::remark;
use crate::{
    failures::printable,
    fleet::{Missing, Nodes},
};
use clap::Args;

/// The flag that asks for all nodes.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct AllNodes {
    /// Ask for all nodes: the agent asks those of the others, which its setting api.peers names. Nodes that do not answer are named on
    /// stderr
    #[arg(long = "all-nodes")]
    pub is_set: bool,
}

impl AllNodes {
    /// As a parameter of the request.
    pub fn parameter(self) -> Option<(&'static str, String)> {
        self.is_set.then(|| ("nodes", "all".to_owned()))
    }
}

/// Says once which nodes have not answered, and that they do again.
#[derive(Debug, Default)]
pub struct Remarks(Vec<String>);

impl Remarks {
    /// Says what has changed.
    pub fn say(&mut self, nodes: Option<&Nodes>) {
        let Some(nodes) = nodes else { return };
        let names: Vec<_> = nodes.missing.iter().map(|missing| missing.name().to_owned()).collect();
        for missing in nodes
            .missing
            .iter()
            .filter(|missing| !self.0.iter().any(|name| name == missing.name()))
        {
            remark(format_args!("{}", printable(&missing_line(missing))));
        }
        for name in self.0.iter().filter(|name| nodes.answered.contains(name)) {
            remark(format_args!("{} answers again", printable(name)));
        }
        self.0 = names;
    }
}

fn missing_line(missing: &Missing) -> String {
    let Missing {
        address, node, message, ..
    } = missing;
    match node {
        Some(node) => format!("node {node} (agent at {address}) is missing: {message}"),
        None => format!("the node of the agent at {address} is missing: {message}"),
    }
}
