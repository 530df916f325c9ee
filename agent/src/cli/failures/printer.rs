//! Failures on stdout.

use crate::failures::{Failure, HEADER, line};
use anyhow::Context;
use std::io::Write;

/// Writes failures, as lines for people or as JSON.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    json: bool,
}

impl<W: Write> Printer<W> {
    /// Writes to `out`.
    pub fn new(out: W, json: bool) -> Self {
        Self { out, json }
    }

    /// The names of the columns, where there are columns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn header(&mut self) -> anyhow::Result<()> {
        if !self.json {
            self.say(HEADER)?;
        }
        Ok(())
    }

    /// A failure, given as the agent gave it.
    ///
    /// # Errors
    /// When it cannot be written, or is no failure.
    pub fn failure(&mut self, json: &str) -> anyhow::Result<()> {
        if self.json {
            return self.say(json);
        }
        let failure: Failure = serde_json::from_str(json).with_context(|| {
            format!("cannot parse a failure sent by the agent, which may be of another version: {json}")
        })?;
        self.say(&line(&failure))
    }

    /// A line, at once: whoever reads it may be waiting.
    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()?;
        Ok(())
    }
}
