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
    /// When this was noticed, in milliseconds since 1970.
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

/// The drains that are under way: when each was noticed, and how many connections hung on it then.
#[derive(Default)]
pub(super) struct Drains {
    began: HashMap<(Arc<Point>, Cause), (Millis, u64)>,
    now: Vec<Drain>,
}

impl Drains {
    /// Finds out which instances are to go.
    pub(super) fn update(&mut self, ages: &OpenAges, instances: &[Instance], now: Millis) {
        let leaving = leaving(instances);
        let replaced = ages.replaced().filter(|(point, _)| !leaving.contains_key(*point));
        let replaced = replaced.map(|(point, open)| (point.clone(), Cause::Replaced, None, open.clone()));
        let mut found: Vec<_> = replaced.collect();
        for (point, (cause, deadline)) in leaving {
            let open = ages.of(&point).cloned().unwrap_or_default();
            found.push((point, cause, deadline, open));
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let began = std::mem::take(&mut self.began);
        let drain = |(point, cause, deadline, open): (Arc<Point>, Cause, Option<Millis>, ByDependent)| {
            let connections = open.sum().iter().sum();
            let (since, first) = (began.get(&(point.clone(), cause)).copied()).unwrap_or((now, connections));
            Drain {
                cut: deadline.map(|deadline| forecast(first, connections, now - since, deadline - now)),
                point,
                cause,
                since,
                deadline,
                first,
                open,
            }
        };
        self.now = found.into_iter().map(drain).collect();
        let began = self.now.iter().map(|drain| {
            let key = (drain.point.clone(), drain.cause);
            (key, (drain.since, drain.first))
        });
        self.began = began.collect();
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
mod tests {
    use super::*;
    use crate::points::{Kind, Mesh};

    fn instance(pod: &str, begin: Millis, revision: &str, deletion: Option<Millis>) -> Instance {
        Instance {
            point: Arc::new(Point {
                name: "shop/waypoint".into(),
                kind: Kind::Waypoint,
                mesh: Mesh::Istio,
                instance: pod.into(),
            }),
            begin,
            revision: Some(revision.into()),
            deletion,
        }
    }

    fn causes(instances: &[Instance]) -> Vec<(&str, Cause, Option<Millis>)> {
        let leaving = leaving(instances);
        let of = |instance: &'_ Instance| leaving.get(&instance.point).copied();
        (instances.iter())
            .filter_map(|instance| {
                let (cause, deadline) = of(instance)?;
                Some((instance.point.instance.as_str(), cause, deadline))
            })
            .collect()
    }

    #[test]
    fn replicas_of_one_revision_stay() {
        assert_eq!(causes(&[instance("a", 1, "x", None), instance("b", 2, "x", None)]), []);
    }

    #[test]
    fn the_older_revision_goes_and_one_that_is_deleted_in_any_case() {
        let old = instance("a", 1, "x", None);
        assert_eq!(
            causes(&[old.clone(), instance("b", 2, "y", None)]),
            [("a", Cause::Superseded, None)]
        );
        assert_eq!(
            causes(&[instance("a", 1, "x", Some(9)), instance("b", 2, "y", None)]),
            [("a", Cause::Terminating, Some(9))]
        );
        // A rollout that is taken back: the newer one is deleted, and the older one stays.
        assert_eq!(
            causes(&[old, instance("b", 2, "y", Some(9))]),
            [("b", Cause::Terminating, Some(9))]
        );
    }

    #[test]
    fn connections_that_end_evenly_are_gone_by_the_deadline_or_not() {
        assert_eq!(forecast(100, 60, 10_000, 10_000), 20.0);
        assert_eq!(forecast(100, 60, 10_000, 20_000), 0.0);
        assert_eq!(forecast(100, 100, 10_000, 20_000), 100.0);
        assert_eq!(forecast(100, 120, 10_000, 20_000), 120.0, "more than at first");
        assert_eq!(forecast(7, 7, 0, 20_000), 7.0);
        assert_eq!(forecast(100, 60, 10_000, -5_000), 60.0, "it should have ended");
    }

    #[test]
    fn a_process_is_replaced_by_a_later_one_that_listens() {
        let began = |process| (process < 100).then_some(u64::from(process));
        let listening = |all: &[u32]| all.iter().copied().collect::<HashSet<_>>();
        let is_replaced = |process, listening: &HashSet<u32>| is_replaced(process, Some(listening), began);
        assert!(is_replaced(5, &listening(&[7])));
        assert!(!is_replaced(5, &listening(&[5, 7])), "it listens itself");
        assert!(!is_replaced(5, &listening(&[3])), "an earlier one, as a master process");
        assert!(!is_replaced(0, &listening(&[7])), "not known");
        assert!(!is_replaced(5, &listening(&[100])), "it has ended");
        assert!(!super::is_replaced(5, None, began), "nobody listens there");
    }
}
