//! Instances of points that are to go, and the connections that hang on them.

use super::ages::{ByDependent, OpenAges};
use crate::{clock::Millis, points::Point};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// Why an instance is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its pod is being deleted.
    Terminating,
    /// Its pod is of an older revision than another one of the point on this node.
    Superseded,
    /// A process of it no longer listens where a later one does, as after a hot restart or a reload.
    Replaced,
}

impl Cause {
    /// The value of the `cause` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Terminating => "terminating",
            Self::Superseded => "superseded",
            Self::Replaced => "replaced",
        }
    }

    /// The cause with that label.
    pub fn of_label(label: &str) -> Option<Self> {
        [Self::Terminating, Self::Superseded, Self::Replaced]
            .into_iter()
            .find(|cause| cause.label() == label)
    }
}

/// An instance of a point, as its pod tells of it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The point with its instance.
    pub point: Arc<Point>,
    /// When the pod got its addresses.
    pub begin: Millis,
    /// What distinguishes it from pods that its workload made from another template.
    pub revision: Option<String>,
    /// When its grace ends, if it is being deleted.
    pub deletion: Option<Millis>,
}

/// An instance that is to go.
#[derive(Clone, Debug)]
pub struct Drain {
    /// The point with its instance.
    pub point: Arc<Point>,
    /// Why it is to go.
    pub cause: Cause,
    /// When this was noticed, in milliseconds since 1970; of replaced processes, of the first one that still has connections.
    pub since: Millis,
    /// When it ends at the latest, if that is known.
    pub deadline: Option<Millis>,
    /// How many connections hung on it when it was noticed.
    pub first: u64,
    /// Those that still do, by dependent.
    pub open: ByDependent,
    /// How many it would cut at its deadline if they went on to end as they have since it was noticed. `None` without a deadline.
    pub cut: Option<f64>,
}

impl Drain {
    /// The connections that hang on it.
    pub fn connections(&self) -> u64 {
        self.open.sum().iter().sum()
    }
}

/// What began to drain: an instance as a whole, or one replaced process of it. Each reload leaves a process of its own, so that the
/// drain of one does not go on for as long as there are others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leaver {
    point: Arc<Point>,
    cause: Cause,
    process: Option<u32>,
}

/// When a drain was noticed, and how many connections there were then.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Began {
    since: Millis,
    first: u64,
}

/// What an agent tells the next one about a drain.
#[derive(Clone, Debug, PartialEq)]
pub struct RememberedDrain {
    /// The point with its instance.
    pub point: Point,
    /// Why it is to go.
    pub cause: Cause,
    /// The replaced process, if it is one.
    pub process: Option<u32>,
    /// When it was noticed, in milliseconds since 1970.
    pub since: Millis,
    /// How many connections hung on it then.
    pub first: u64,
}

/// The drains that are under way: when each was noticed, and how many connections hung on it then.
#[derive(Default)]
pub(super) struct Drains {
    began: HashMap<Leaver, Began>,
    now: Vec<Drain>,
    /// Until then, drains that the previous agent knew may still be found again: pods and ends of flows become known bit by bit.
    recalled_until: Millis,
}

impl Drains {
    /// Resumes from what the previous agent knew; what is not found again until then has ended.
    pub(super) fn recall(&mut self, former: Vec<RememberedDrain>, until: Millis) {
        let began = former.into_iter().map(|former| {
            let RememberedDrain { since, first, .. } = former;
            let leaver = Leaver {
                point: Arc::new(former.point),
                cause: former.cause,
                process: former.process,
            };
            (leaver, Began { since, first })
        });
        self.began = began.collect();
        self.recalled_until = until;
    }

    /// What the next agent is told.
    pub(super) fn remember(&self) -> Vec<RememberedDrain> {
        let all = self.began.iter().map(|(leaver, began)| RememberedDrain {
            point: Point::clone(&leaver.point),
            cause: leaver.cause,
            process: leaver.process,
            since: began.since,
            first: began.first,
        });
        all.collect()
    }

    /// Finds out which instances are to go.
    pub(super) fn update(&mut self, ages: &OpenAges, instances: &[Instance], now: Millis) {
        let leaving = leaving(instances);
        let former = std::mem::take(&mut self.began);
        let mut drains = Vec::new();
        for (point, replaced) in ages.replaced().filter(|(point, _)| !leaving.contains_key(*point)) {
            let of_process = replaced.processes.iter().map(|(process, connections)| {
                let leaver = Leaver {
                    point: point.clone(),
                    cause: Cause::Replaced,
                    process: Some(*process),
                };
                self.begin(&former, leaver, *connections, now)
            });
            let of_process: Vec<_> = of_process.collect();
            drains.push(Drain {
                point: point.clone(),
                cause: Cause::Replaced,
                since: of_process.iter().map(|began| began.since).min().unwrap_or(now),
                deadline: None,
                first: of_process.iter().map(|began| began.first).sum(),
                open: replaced.open.clone(),
                cut: None,
            });
        }
        for (point, (cause, deadline)) in leaving {
            let open = ages.of(&point).cloned().unwrap_or_default();
            let connections = open.sum().iter().sum();
            let leaver = Leaver {
                point: point.clone(),
                cause,
                process: None,
            };
            let Began { since, first } = self.begin(&former, leaver, connections, now);
            drains.push(Drain {
                cut: deadline.map(|deadline| forecast(first, connections, now - since, deadline - now)),
                point,
                cause,
                since,
                deadline,
                first,
                open,
            });
        }
        drains.sort_by(|one, other| one.point.cmp(&other.point));
        self.now = drains;
        if now < self.recalled_until {
            for (leaver, began) in former {
                self.began.entry(leaver).or_insert(began);
            }
        }
    }

    /// When a drain that is under way began: now, if it was not known before.
    fn begin(&mut self, former: &HashMap<Leaver, Began>, leaver: Leaver, connections: u64, now: Millis) -> Began {
        let new = Began {
            since: now,
            first: connections,
        };
        let began = former.get(&leaver).copied().unwrap_or(new);
        self.began.insert(leaver, began);
        began
    }

    /// The drains, in the order of their points.
    pub(super) fn now(&self) -> &[Drain] {
        &self.now
    }
}

/// The instances that are to go, by what their pods tell: with the cause, and when they end.
fn leaving(instances: &[Instance]) -> BTreeMap<Arc<Point>, (Cause, Option<Millis>)> {
    let is_superseded = |one: &Instance| {
        instances.iter().any(|other| {
            let is_newer = other.point.name == one.point.name && other.deletion.is_none() && other.begin > one.begin;
            is_newer && one.revision.is_some() && other.revision.is_some() && one.revision != other.revision
        })
    };
    let of = |instance: &Instance| match instance.deletion {
        Some(deadline) => Some((Cause::Terminating, Some(deadline))),
        None => is_superseded(instance).then_some((Cause::Superseded, None)),
    };
    instances
        .iter()
        .filter(|instance| instance.point.kind.is_shared())
        .filter_map(|instance| Some((instance.point.clone(), of(instance)?)))
        .collect()
}

/// How many connections are left at the deadline, if they go on to end at the rate since the drain was noticed. Of `first` there are
/// `open` after `elapsed`, and `left` until then.
fn forecast(first: u64, open: u64, elapsed: Millis, left: Millis) -> f64 {
    let (first, open) = (first as f64, open as f64);
    if elapsed <= 0 {
        return open;
    }
    let ended = (first - open).max(0.0) / elapsed as f64;
    (open - ended * left.max(0) as f64).max(0.0)
}

/// Whether a process has been replaced at a port: it has connections that it accepted there, and no longer listens, but a later process
/// does. `listening` has the processes that listen, `began` says when one started.
pub fn is_replaced(process: u32, listening: Option<&HashSet<u32>>, began: impl Fn(u32) -> Option<u64>) -> bool {
    let Some(listening) = listening.filter(|listening| process != 0 && !listening.contains(&process)) else {
        return false;
    };
    let Some(own) = began(process) else { return false };
    listening
        .iter()
        .any(|other| began(*other).is_some_and(|other| other > own))
}

#[cfg(test)]
mod tests;
