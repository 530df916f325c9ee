//! One turn of the wheel: sample, read, resolve, add up, publish.

use super::inventory_file::InventoryFile;
use crate::{
    config::Config,
    export::{Bound, PointRow, Snapshot},
    identity::Resolver,
    kernel::{Kernel, OVERFLOW_LIMIT, Reading},
    model::{Bounds, Histogram, Model},
    node::Cgroups,
    points::Rules,
};
use agent_common::{FailureEvent, Loss, Reason};
use std::time::{Duration, Instant};

/// Everything that a tick works on.
pub struct Ticker {
    kernel: Kernel,
    resolver: Resolver,
    inventory: InventoryFile,
    model: Model,
    flows_limit: usize,
    points_limit: usize,
    ticks: u64,
    tick_seconds: Histogram,
    lost: Vec<(Loss, u64)>,
}

impl Ticker {
    /// Puts it together.
    pub fn new(config: &Config, kernel: Kernel, cgroups: Cgroups, rules: Rules, inventory: InventoryFile) -> Self {
        Self {
            kernel,
            resolver: Resolver::new(cgroups, rules),
            inventory,
            model: Model::new(Bounds {
                dependents: config.limits.dependents,
                points: config.limits.points,
                window: Duration::from_secs_f64(config.dependency_window),
            }),
            flows_limit: config.limits.flows as usize,
            points_limit: config.limits.points,
            ticks: 0,
            tick_seconds: Histogram::default(),
            lost: Vec::new(),
        }
    }

    /// One tick, and what is known after it. When the kernel refuses to answer, what was known before stays, and the
    /// snapshot says so.
    pub fn tick(&mut self) -> Snapshot {
        let begin = Instant::now();
        match self.inventory.changed() {
            Some(inventory) => self.resolver.set_inventory(inventory),
            None => self.resolver.refresh(),
        }
        let error = self.read(begin).err().map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            tracing::error!("{error}");
        }
        self.model.expire(begin);
        self.ticks += 1;
        self.tick_seconds.observe(begin.elapsed());
        self.snapshot(begin, error)
    }

    fn read(&mut self, now: Instant) -> anyhow::Result<()> {
        let listeners = self.kernel.sample()?;
        self.model.local_points(self.resolver.points(), now);
        let (model, resolver) = (&mut self.model, &mut self.resolver);
        let read = self.kernel.collect(|key, reading| match reading {
            Reading::Changed(flow) => model.flow(key, flow, false, resolver, now),
            Reading::Gone(flow) => model.flow(key, flow, true, resolver, now),
        });
        model.listeners(&listeners, resolver);
        // Those that were recognised only now.
        model.local_points(resolver.points(), now);
        // Asked for after the flows: an opening without detail was counted as such before its end.
        self.lost = self.kernel.loss()?;
        let detail = self.lost.iter().all(|(what, n)| *what != Loss::FlowDetail || *n == 0);
        model.unseen_flows(detail, now);
        self.kernel.drain(|event| report(&event, resolver));
        // What was read is counted, also when the reading broke off.
        read
    }

    fn snapshot(&self, now: Instant, tick_error: Option<String>) -> Snapshot {
        let window = self.model.window();
        let points: Vec<_> = self
            .model
            .points()
            .map(|load| PointRow {
                load: load.clone(),
                counts: load.dependents.counts(window, now),
                dependents: load.dependents.rows(window, now),
            })
            .collect();
        let overflow = self.model.overflow_flows();
        Snapshot {
            ticks: self.ticks,
            point_bound: Bound {
                used: points.len(),
                limit: self.points_limit,
            },
            points,
            called: self
                .model
                .called()
                .iter()
                .map(|(point, called)| (point.clone(), called.clone()))
                .collect(),
            attributed: self.model.attributed().clone(),
            loss: self.lost.clone(),
            skipped: self.kernel.skipped_runs(),
            unseen: self.model.unseen(),
            points_turned_away: self.model.points_turned_away(),
            programs: self.kernel.programs().to_vec(),
            costs: self.kernel.costs(),
            fields: self.kernel.fields().to_vec(),
            flows: Bound {
                used: self.model.flows().saturating_sub(overflow),
                limit: self.flows_limit,
            },
            overflow: Bound {
                used: overflow,
                limit: OVERFLOW_LIMIT as usize,
            },
            tick_seconds: self.tick_seconds.clone(),
            tick_error,
            inventory: self.inventory.status(self.resolver.missing()),
        }
    }
}

/// Writes a failed connection to the log.
fn report(event: &FailureEvent, resolver: &mut Resolver) {
    let Some(reason) = Reason::ALL.get(usize::from(event.reason)) else {
        return;
    };
    if !tracing::enabled!(target: "narrows::failures", tracing::Level::DEBUG) {
        return;
    }
    let binding = resolver.bind(&event.key);
    tracing::debug!(
        target: "narrows::failures",
        reason = reason.label(),
        phase = reason.phase(),
        workload = binding.workload().map(|who| format!("{}/{}", who.namespace, who.name)),
        point = binding.point().map(|point| point.name.as_str()),
        peer = ?binding.peer,
        port = event.key.port,
        duration_us = (event.duration_ns > 0).then_some(event.duration_ns / 1000),
        "connection failed"
    );
}
