//! The services that commands query, and how errors name them.

use std::{fmt, time::Duration};

/// The kind of service that is queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// An agent of Narrows.
    Agent,
    /// A Prometheus, or a service with the same API.
    Prometheus,
}

impl Service {
    /// The flag that gives its address.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Agent => "--agent",
            Self::Prometheus => "--prometheus",
        }
    }

    /// What to do when it does not answer.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Agent => {
                "start `narrows agent` there, or pass its address with --agent (for one in a pod: kubectl port-forward)"
            }
            Self::Prometheus => "check --prometheus, and that this machine may connect to it",
        }
    }

    /// The time limit for the connection and the head of the answer. Prometheus itself aborts a query after two minutes by
    /// default.
    pub fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Agent => 10,
            Self::Prometheus => 130,
        })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "the agent",
            Self::Prometheus => "Prometheus",
        })
    }
}
