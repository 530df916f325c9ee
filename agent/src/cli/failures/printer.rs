//! Prints failures as a table or as JSON.

use crate::failures::{Failure, HEADER, line, printable};
use anyhow::Context;
use std::io::Write;

/// Writes failures, as lines for people or as JSON.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    json: bool,
    has_nodes: bool,
}

impl<W: Write> Printer<W> {
    /// A printer that writes to `out`, as JSON or as lines of a table, which `has_nodes` in a column of its own.
    pub fn new(out: W, json: bool, has_nodes: bool) -> Self {
        Self { out, json, has_nodes }
    }

    /// Writes the names of the columns; nothing for JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn header(&mut self) -> anyhow::Result<()> {
        if !self.json {
            self.say(&self.with_node("NODE", HEADER))?;
        }
        Ok(())
    }

    /// Writes a failure, given as the agent sent it.
    ///
    /// # Errors
    /// When it cannot be written, or is not a failure.
    pub fn failure(&mut self, json: &str) -> anyhow::Result<()> {
        if self.json {
            return self.say(json);
        }
        let failure: Failure = serde_json::from_str(json).with_context(|| {
            format!("cannot parse a failure sent by the agent, which may be of another version: {json}")
        })?;
        let node = failure.node.as_deref().unwrap_or("-");
        self.say(&self.with_node(&printable(node), &line(&failure)))
    }

    fn with_node(&self, node: &str, line: &str) -> String {
        match self.has_nodes {
            true => format!("{node:24}  {line}"),
            false => line.to_owned(),
        }
    }

    /// Writes a line and flushes it, so that the reader gets it at once.
    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()?;
        Ok(())
    }
}
