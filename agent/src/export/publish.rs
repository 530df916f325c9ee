//! Publishes snapshots: with their rates, and as samples of the time lines.

use super::{
    history::{History, RESOLUTION},
    meter::Meter,
    rates::PointRates,
    saturation::ratios,
    snapshot::{Shared, Snapshot},
};
use crate::{
    api::{Delay, Sample},
    metrics::load::QUEUE,
    model::{CalledPoint, rows::PointRow},
    program::Offer,
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What is published: read by the HTTP server.
#[derive(Clone, Default)]
pub struct Published {
    /// The newest snapshot.
    pub snapshot: Shared,
    /// The time lines. The lock is held for a sample of each point, or for a copy of one line.
    pub history: Arc<Mutex<History>>,
    /// The time between two samples of the history.
    pub resolution: Duration,
}

impl Published {
    /// The snapshot of the last tick; `None` before the first one has ended, when everything would seem to be nothing.
    pub fn newest(&self) -> Option<Arc<Snapshot>> {
        let snapshot = self.snapshot.load_full();
        (snapshot.tick.number > 0).then_some(snapshot)
    }
}

/// Publishes snapshots.
pub struct Publisher {
    published: Published,
    interval: Duration,
    meter: Meter,
    /// Measures from one sample of the time lines to the next: ticks may be closer to each other.
    sampler: Meter,
    next_sample: Option<Instant>,
}

impl Publisher {
    /// Nothing is published yet; there will be a snapshot at this interval.
    pub fn new(interval: Duration) -> Self {
        Self {
            published: Published {
                resolution: RESOLUTION.max(interval),
                ..Published::default()
            },
            interval,
            meter: Meter::new(true),
            sampler: Meter::new(false),
            next_sample: None,
        }
    }

    /// What is published.
    pub const fn published(&self) -> &Published {
        &self.published
    }

    /// Publishes the next snapshot.
    pub fn publish(&mut self, mut snapshot: Snapshot, now: Instant) {
        snapshot.tick.interval = self.interval;
        snapshot.rates = self.meter.measure(&snapshot, now);
        if self.next_sample.is_none_or(|next| now >= next) {
            // Ticks are not exactly as far apart as they are meant to be.
            self.next_sample = Some(now + self.published.resolution.mul_f64(0.9));
            self.sample(&snapshot, now);
        }
        self.published.snapshot.store(Arc::new(snapshot));
    }

    fn sample(&mut self, snapshot: &Snapshot, now: Instant) {
        let (rates, offer) = (self.sampler.measure(snapshot, now), snapshot.offer());
        let called: HashSet<_> = snapshot.called.iter().map(|(point, _)| point).collect();
        let of = |row: &PointRow| {
            let point = row.load.point.clone();
            let mut sample = sample(row, rates.points.get(&point), &offer);
            if !called.contains(&CalledPoint::from(&*point)) {
                sample.caller_failures_per_second = f32::NAN;
            }
            (point, sample)
        };
        let local = |is_shared: bool| {
            let rows = snapshot.points.iter();
            rows.filter(move |row| row.load.local && row.load.point.kind.is_shared() == is_shared)
        };
        let samples: Vec<_> = local(true).chain(local(false)).map(of).collect();
        let mut history = self.published.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.record(snapshot.tick.time, samples.into_iter());
    }
}

fn sample(row: &PointRow, rates: Option<&PointRates>, offer: &Offer) -> Sample {
    let load = &row.load;
    let known = |value: Option<f64>| value.map_or(f32::NAN, |value| value as f32);
    let rate = |of: &dyn Fn(&PointRates) -> f64| known(rates.map(of));
    let slower = |of: fn(&PointRates) -> &[Delay; 2]| {
        let delays = rates.into_iter().flat_map(of);
        known(delays.filter_map(|delay| delay.p99_seconds).reduce(f64::max))
    };
    let ratios = ratios(offer, load);
    let ratio = |resource: &str| {
        let mut found = ratios.iter().filter(|(name, _)| *name == resource);
        known(found.next().and_then(|(_, ratio)| *ratio))
    };
    let queued = offer
        .has_all(QUEUE.needs)
        .then(|| load.queues.values().map(|queue| queue.queued).sum());
    Sample {
        downstream_open_connections: load.downstream.active as f32,
        upstream_open_connections: load.upstream.active as f32,
        downstream_opened_per_second: rate(&|rates| rates.opened[1]),
        upstream_opened_per_second: rate(&|rates| rates.opened[0]),
        point_failures_per_second: rate(&|rates| rates.failures.iter().flatten().sum()),
        caller_failures_per_second: rate(&|rates| rates.caller_failures.iter().sum()),
        read_delay_p99_seconds: slower(|rates| &rates.read),
        forward_delay_p99_seconds: slower(|rates| &rates.forward),
        worst_saturation_ratio: known(ratios.iter().filter_map(|(_, ratio)| *ratio).reduce(f64::max)),
        cpu_saturation_ratio: ratio("cpu"),
        memory_saturation_ratio: ratio("memory"),
        accept_queue_saturation_ratio: ratio("accept_queue"),
        open_files_saturation_ratio: ratio("open_files"),
        backlog_saturation_ratio: ratio("backlog"),
        ephemeral_ports_saturation_ratio: ratio("ephemeral_ports"),
        accept_queue_connections: known(queued.map(|queued: u64| queued as f64)),
    }
}
