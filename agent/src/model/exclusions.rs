//! Which bypasses are meant to be, and how many there were.

use super::pair::PairEnd;
use crate::{identity::Duty, points::Exclusion};

/// Why a connection that passed by a point is not counted as a bypass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The configuration excludes it.
    Configured,
    /// Its caller collects metrics.
    Scraper,
    /// Its caller is a part of a mesh's control plane.
    ControlPlane,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 3] = [Self::Configured, Self::Scraper, Self::ControlPlane];

    /// The value of the `cause` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Scraper => "scraper",
            Self::ControlPlane => "control_plane",
        }
    }
}

/// What is excluded.
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    /// The user's own exclusions.
    pub own: Vec<Exclusion>,
    /// Whether callers with a [`Duty`] are excluded.
    pub duties: bool,
}

impl Exclusions {
    /// Why a connection from `source` to `port` is excluded; `None` when it is not.
    pub fn cause(&self, source: &PairEnd, port: u16) -> Option<Cause> {
        if self.own.iter().any(|one| one.covers(source.labels(), port)) {
            return Some(Cause::Configured);
        }
        let duty = match source {
            PairEnd::Workload(workload) if self.duties => workload.duty,
            _ => None,
        };
        duty.map(|duty| match duty {
            Duty::Scraper => Cause::Scraper,
            Duty::ControlPlane(_) => Cause::ControlPlane,
        })
    }
}

/// Connections that were excluded, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Excluded([u64; Cause::ALL.len()]);

impl Excluded {
    /// Adds connections.
    pub const fn add(&mut self, cause: Cause, n: u64) {
        self.0[cause as usize] += n;
    }

    /// The numbers, each with its cause.
    pub fn by_cause(self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.0)
    }
}
