//! What a point carries, according to its own sockets.

use super::resources::Resources;
use crate::points::Point;
use crate::{histogram::Histogram, signals::Inside};
use agent_common::{Flow, ListenerSample, Reason};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// One side of a point: the connections it accepted, or those it opened.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Connections whose handshake completed.
    pub opened: u64,
    /// Established connections that ended.
    pub closed: u64,
    /// Connections that are open now.
    pub active: i64,
    /// Payload bytes that the point received.
    pub received: u64,
    /// Payload bytes that the point sent.
    pub sent: u64,
    /// Segments that the point retransmitted.
    pub retransmits: u64,
    /// Retransmitted SYNs (upstream) or SYN-ACKs (downstream).
    pub syn_retransmits: u64,
    /// Failed connections by [`agent_common::Reason`].
    pub failures: [u64; Reason::COUNT],
    /// Handshake durations; upstream only.
    pub connect: Histogram,
    /// Round-trip times, as smoothed by the kernel.
    pub round_trip: Histogram,
}

impl Side {
    /// Adds the change of a flow's counters.
    pub fn add(&mut self, delta: &Flow) {
        self.opened += delta.opened;
        self.closed += delta.closed;
        self.active += change(delta);
        self.received += delta.received;
        self.sent += delta.sent;
        self.retransmits += delta.retransmits;
        self.syn_retransmits += delta.syn_retransmits;
        for (total, new) in self.failures.iter_mut().zip(delta.failures) {
            *total += new;
        }
        self.connect.add(&delta.connect, delta.connect_us);
        self.round_trip.add(&delta.round_trip, delta.round_trip_us);
    }
}

/// The change in the number of a flow's open connections.
pub fn change(delta: &Flow) -> i64 {
    (delta.opened + delta.adopted).cast_signed() - delta.closed.cast_signed()
}

/// Connections of a flow that ended, and failed attempts.
pub fn ended(delta: &Flow) -> u64 {
    delta.closed + failed_attempts(&delta.failures)
}

/// Number of failures before the connection was established.
pub fn failed_attempts(failures: &[u64; Reason::COUNT]) -> u64 {
    let attempts = Reason::ALL.into_iter().filter(|reason| reason.phase() == "handshake");
    attempts.map(|reason| failures[reason as usize]).sum()
}

/// The accept queues of one port: a reuseport group counts as one.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptQueue {
    /// Connections waiting for accept.
    pub queued: u64,
    /// The backlogs given to `listen`, summed.
    pub limit: u64,
    /// Utilization of the fullest listener; 1 is full.
    pub utilization: f64,
    /// Handshakes dropped so far.
    pub drops: u64,
    /// Number of listening sockets.
    pub listeners: u64,
    /// How long the oldest connection has waited, in microseconds; 0 when none waits. `None` when that is unknown for one of the
    /// queues.
    pub oldest_us: Option<u64>,
}

impl Default for AcceptQueue {
    fn default() -> Self {
        Self {
            queued: 0,
            limit: 0,
            utilization: 0.0,
            drops: 0,
            listeners: 0,
            oldest_us: Some(0),
        }
    }
}

impl AcceptQueue {
    /// Adds a listening socket.
    pub fn add(&mut self, sample: &ListenerSample) {
        self.listeners += 1;
        self.queued += u64::from(sample.queued);
        self.limit += u64::from(sample.limit);
        // `sk_acceptq_is_full` compares with >, so one more than the backlog fits in.
        let full = f64::from(sample.limit) + 1.0;
        self.utilization = self.utilization.max(f64::from(sample.queued) / full);
        let known = (sample.oldest_us != ListenerSample::UNKNOWN).then_some(u64::from(sample.oldest_us));
        self.oldest_us = self.oldest_us.zip(known).map(|(one, other)| one.max(other));
    }
}

/// An instance of a point on this node.
#[derive(Clone, Debug)]
pub struct PointLoad {
    /// The point, with its instance.
    pub point: Arc<Point>,
    /// Whether one of its processes runs on this node. Otherwise only its dependents are known, from their own sockets.
    pub local: bool,
    /// How many of its processes run on this node.
    pub processes: usize,
    /// When one of its processes, or a call to it, was last seen.
    pub seen: Instant,
    /// The connections that it accepted.
    pub downstream: Side,
    /// The connections that it opened.
    pub upstream: Side,
    /// Its accept queues by port.
    pub queues: BTreeMap<u16, AcceptQueue>,
    /// Measurements from inside its processes: see [`crate::signals`].
    pub inside: Inside,
    /// CPU time, memory and open files.
    pub resources: Resources,
}

impl PointLoad {
    /// A point without traffic.
    pub fn new(point: Arc<Point>, now: Instant) -> Self {
        Self {
            point,
            local: false,
            processes: 0,
            seen: now,
            downstream: Side::default(),
            upstream: Side::default(),
            queues: BTreeMap::new(),
            inside: Inside::default(),
            resources: Resources::default(),
        }
    }
}
