//! What has changed between two snapshots: rates, and the delays of the time between.

use crate::{api, histogram::Histogram, points::Point};
use agent_common::Reason;
use std::{collections::HashMap, sync::Arc};

/// Rates of all points; empty at the first tick.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// The time between the two snapshots, in seconds.
    pub seconds: Option<f64>,
    /// By point: those that both snapshots have.
    pub points: HashMap<Arc<Point>, PointRates>,
}

/// Rates of one point, per second. Sides are in the order of [`crate::signals`]: upstream, downstream.
#[derive(Clone, Debug, Default)]
pub struct PointRates {
    /// Connections whose handshake completed, by side.
    pub opened: [f64; 2],
    /// Payload bytes received, by side.
    pub received: [f64; 2],
    /// Payload bytes sent, by side.
    pub sent: [f64; 2],
    /// Failed connections by the point's own sockets, by side and [`Reason`].
    pub failures: [[f64; Reason::COUNT]; 2],
    /// Failed connections by the sockets of its callers.
    pub caller_failures: [f64; Reason::COUNT],
    /// Connections of its callers whose handshake completed.
    pub caller_opened: f64,
    /// Handshakes that its accept queues dropped.
    pub queue_drops: f64,
    /// How long data waited to be read, by side.
    pub read: [api::Delay; 2],
    /// How long data waited to be forwarded, by side.
    pub forward: [api::Delay; 2],
    /// Connections of dependents.
    pub dependents: EndpointRates,
    /// Connections to served workloads.
    pub served: EndpointRates,
}

/// Rates of the workloads on one side of a point, in the order of the snapshot's rows; `None` for one that the snapshot before had not.
#[derive(Clone, Debug, Default)]
pub struct EndpointRates {
    /// Of each workload in detail.
    pub rows: Vec<Option<f64>>,
    /// Of each sum of the others.
    pub rest: Vec<Option<f64>>,
}

/// The quantiles of these durations.
pub(super) fn delay(durations: &Histogram) -> api::Delay {
    api::Delay {
        samples: durations.count(),
        p50_seconds: durations.quantile(0.5),
        p99_seconds: durations.quantile(0.99),
    }
}
