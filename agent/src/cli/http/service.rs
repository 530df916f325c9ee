//! Who is asked, in the words of errors.

use std::{fmt, time::Duration};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// An agent of Narrows.
    Agent,
    /// A Prometheus, or what answers like one.
    Prometheus,
}

impl Service {
    /// The flag that says where it is.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Agent => "--agent",
            Self::Prometheus => "--prometheus",
        }
    }

    /// What to do when nobody answers.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Agent => {
                "start `narrows agent` there, or pass its address with --agent (for one in a pod: kubectl port-forward)"
            }
            Self::Prometheus => "check --prometheus, and that this machine may connect to it",
        }
    }

    /// How long is waited for a connection and the head of an answer. Prometheus itself gives up on a query after two minutes by
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
