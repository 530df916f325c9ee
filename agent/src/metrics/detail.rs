//! How much of what is known is exported.

use serde::{Deserialize, Serialize};

/// How much is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// What points carry, how they fail and how full they are: no histograms, nothing from inside their processes.
    Minimal,
    /// Everything about points, and nothing by who calls them or is called through them.
    Points,
    /// Everything, by dependent, served workload and pair as well.
    #[default]
    Full,
}

impl Detail {
    /// The value of the `detail` label, and in the configuration.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Points => "points",
            Self::Full => "full",
        }
    }
}
