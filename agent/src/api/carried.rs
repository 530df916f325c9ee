//! What a point carries: from which caller to which destination.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The connections that a point opened for one caller to one destination.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Carried {
    /// Who called the point.
    pub source: CarriedEnd,
    /// What the point connected to.
    pub destination: CarriedEnd,
    /// How the caller is known: `certain`, `estimated` or `unknown`; for a sum its name.
    pub certainty: String,
    /// Connections, counted when they first carry data or end without any.
    pub connections_total: u64,
    /// Flights of data that the point sent on them: over HTTP/1.1, requests.
    pub turns_total: u64,
    /// Failed connections and attempts, for whatever reason.
    pub failures_total: u64,
}

/// One end of what a point carries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct CarriedEnd {
    /// The namespace of a workload or point; `external`, `node` or `unknown` for what is neither.
    pub namespace: String,
    /// The name; `_other` or `_former` for the sum of paths that are not in detail.
    pub name: String,
}
