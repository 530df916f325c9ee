//! Measures rates: keeps the counters of one snapshot, and compares the next one with them.

use super::{
    rates::{EndpointRates, PointRates, Rates, delay},
    snapshot::Snapshot,
};
use crate::{
    histogram::Histogram,
    identity::Workload,
    model::{
        Called, CalledPoint, Side,
        rows::{EndpointRows, PointRow},
    },
    points::Point,
};
use agent_common::Reason;
use std::{
    cmp::Ordering,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Keeps what it needs of the last snapshot: some 1.5 kB for a point, 16 bytes for each workload on one side of it.
#[derive(Default)]
pub struct Meter {
    before: HashMap<Arc<Point>, Counters>,
    at: Option<Instant>,
    with_workloads: bool,
}

/// Sides are in the order upstream, downstream.
#[derive(Default)]
struct Counters {
    opened: [u64; 2],
    received: [u64; 2],
    sent: [u64; 2],
    failures: [[u64; Reason::COUNT]; 2],
    caller_failures: [u64; Reason::COUNT],
    caller_opened: u64,
    queue_drops: u64,
    read: [Histogram; 2],
    forward: [Histogram; 2],
    dependents: EndpointCounters,
    served: EndpointCounters,
}

/// Connections of the workloads on one side of a point.
#[derive(Default)]
struct EndpointCounters {
    /// In the order of the workloads.
    rows: Vec<(Arc<Workload>, u64)>,
    rest: Vec<(&'static str, u64)>,
}

impl Meter {
    /// A meter without a snapshot yet; of workloads only if they are wanted, as there may be many.
    pub fn new(with_workloads: bool) -> Self {
        Self {
            with_workloads,
            ..Self::default()
        }
    }

    /// The rates since the last snapshot that it was given.
    pub fn measure(&mut self, snapshot: &Snapshot, now: Instant) -> Rates {
        let elapsed = self.at.replace(now).map(|at| now.saturating_duration_since(at));
        let elapsed = elapsed.filter(|elapsed| *elapsed > Duration::ZERO);
        let called: HashMap<_, _> = snapshot.called.iter().map(|(point, called)| (point, called)).collect();
        let mut points = HashMap::new();
        let mut next = HashMap::new();
        for row in &snapshot.points {
            let point = &row.load.point;
            let counters = self.counters(row, called.get(&CalledPoint::from(&**point)).copied());
            if let Some((before, elapsed)) = self.before.get(point).zip(elapsed) {
                points.insert(point.clone(), counters.since(before, elapsed.as_secs_f64()));
            }
            next.insert(point.clone(), counters);
        }
        self.before = next;
        Rates {
            seconds: elapsed.map(|elapsed| elapsed.as_secs_f64()),
            points,
        }
    }

    fn counters(&self, row: &PointRow, called: Option<&Called>) -> Counters {
        let sides = [&row.load.upstream, &row.load.downstream];
        let by = |of: fn(&Side) -> u64| sides.map(of);
        let workloads = |all: &EndpointRows| match self.with_workloads {
            true => EndpointCounters::of(all),
            false => EndpointCounters::default(),
        };
        let delays = &row.load.inside.delays;
        Counters {
            opened: by(|side| side.opened),
            received: by(|side| side.received),
            sent: by(|side| side.sent),
            failures: sides.map(|side| side.failures),
            caller_failures: called.map(|called| called.failures).unwrap_or_default(),
            caller_opened: called.map_or(0, |called| called.opened),
            queue_drops: row.load.queues.values().map(|queue| queue.drops).sum(),
            read: delays.read.clone(),
            forward: delays.forward.clone(),
            dependents: workloads(&row.dependents),
            served: workloads(&row.served),
        }
    }
}

impl Counters {
    fn since(&self, before: &Self, seconds: f64) -> PointRates {
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let sides = |now: [u64; 2], before: [u64; 2]| [0, 1].map(|side| rate(now[side], before[side]));
        // A reason may be corrected, so that one counter goes back as another one goes up.
        let reasons = |now: &[u64; Reason::COUNT], before: &[u64; Reason::COUNT]| {
            std::array::from_fn(|reason| rate(now[reason], before[reason]))
        };
        PointRates {
            opened: sides(self.opened, before.opened),
            received: sides(self.received, before.received),
            sent: sides(self.sent, before.sent),
            failures: [0, 1].map(|side: usize| reasons(&self.failures[side], &before.failures[side])),
            caller_failures: reasons(&self.caller_failures, &before.caller_failures),
            caller_opened: rate(self.caller_opened, before.caller_opened),
            queue_drops: rate(self.queue_drops, before.queue_drops),
            read: [0, 1].map(|side: usize| delay(&self.read[side].since(&before.read[side]))),
            forward: [0, 1].map(|side: usize| delay(&self.forward[side].since(&before.forward[side]))),
            dependents: self.dependents.since(&before.dependents, rate),
            served: self.served.since(&before.served, rate),
        }
    }
}

impl EndpointCounters {
    fn of(all: &EndpointRows) -> Self {
        let rows = all.rows.iter();
        let rest = all.rest.iter();
        Self {
            rows: rows
                .map(|row| (row.row.key.clone(), row.row.tally.connections))
                .collect(),
            rest: rest.map(|(name, share)| (*name, share.connections)).collect(),
        }
    }

    fn since(&self, before: &Self, rate: impl Fn(u64, u64) -> f64) -> EndpointRates {
        // A sum that was not there was 0.
        let then = |name| {
            before
                .rest
                .iter()
                .find(|(other, _)| *other == name)
                .map_or(0, |(_, n)| *n)
        };
        let rest = self.rest.iter().map(|(name, n)| Some(rate(*n, then(*name))));
        EndpointRates {
            rest: rest.collect(),
            rows: by_workload(&self.rows, &before.rows, rate),
        }
    }
}

/// The rate of each workload that both have. Both are in the order of the workloads, so that they are walked side by side.
fn by_workload(
    now: &[(Arc<Workload>, u64)],
    before: &[(Arc<Workload>, u64)],
    rate: impl Fn(u64, u64) -> f64,
) -> Vec<Option<f64>> {
    let mut before = before.iter().peekable();
    let rates = now.iter().map(|(who, n)| {
        let order = |other: &Arc<Workload>| match Arc::ptr_eq(who, other) {
            true => Ordering::Equal,
            false => other.cmp(who),
        };
        while before.next_if(|(other, _)| order(other).is_lt()).is_some() {}
        before
            .next_if(|(other, _)| order(other).is_eq())
            .map(|(_, then)| rate(*n, *then))
    });
    rates.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::synthetic::workload;

    #[test]
    fn workloads_that_come_and_go_keep_the_others_rates() {
        let all = |list: &[(usize, u64)]| {
            let mut all: Vec<_> = list.iter().map(|(n, count)| (workload(*n), *count)).collect();
            all.sort();
            all
        };
        let (before, now) = (all(&[(1, 5), (2, 6), (4, 8)]), all(&[(1, 15), (3, 7), (4, 8), (5, 9)]));
        let rates = by_workload(&now, &before, |now, before| now.saturating_sub(before) as f64 / 5.0);
        let named: Vec<_> = now.iter().map(|(who, _)| who.name.as_str()).zip(rates).collect();
        let expected = [
            ("workload-1", Some(2.0)),
            ("workload-3", None),
            ("workload-4", Some(0.0)),
            ("workload-5", None),
        ];
        assert_eq!(named, expected);
    }
}
