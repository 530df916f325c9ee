//! Adds up what points have carried, by path, once caller and destination are known or have been waited for.

use super::{
    moment::Moment,
    pair::{Pair, PairEnd},
    paths::{Path, PathTally, WaitingPath},
    sums::Model,
};
use crate::identity::{Binding, Endpoint, Identities, Upstream};
use agent_common::{Certainty, PathCounts, PathKey};
use std::time::Instant;

impl Model {
    /// Adds what was counted for paths since the last time. To be called after the flows of a tick.
    pub fn paths(&mut self, new: Vec<(PathKey, PathCounts)>, identities: &dyn Identities, when: Moment) {
        let new = new.into_iter().map(|(key, counts)| WaitingPath { key, counts, when });
        self.waiting_paths.0.extend(new);
        let excess = self.waiting_paths.0.len().saturating_sub(self.bounds.waiting);
        let all = std::mem::take(&mut self.waiting_paths.0);
        self.waiting_paths.0 = (0..)
            .zip(all)
            .filter_map(|(n, path)| self.path(path, identities, when.at, n < excess))
            .collect();
    }

    /// Counts for a path, or returns what must wait.
    fn path(
        &mut self,
        path: WaitingPath,
        identities: &dyn Identities,
        at: Instant,
        at_once: bool,
    ) -> Option<WaitingPath> {
        let WaitingPath { key, counts, when } = &path;
        let upstream = Upstream::from(key);
        let binding = identities.bind(&upstream.flow, when.span);
        let by = upstream.called_by(&binding, identities, when.span);
        let waited = at.duration_since(when.at);
        let is_known = binding.question.is_none() && binding.sure && !binding.incomplete() && by.is_final;
        let patience = match self.bounds.this_node_only && binding.knows_local() {
            true => self.bounds.settle,
            false => self.bounds.wait,
        };
        if !at_once && !is_known && waited < patience {
            return Some(path);
        }
        self.count_path(&binding, &by.who, by.certainty, &PathTally::from(counts), at);
        None
    }

    fn count_path(&mut self, binding: &Binding, by: &Endpoint, certainty: Certainty, tally: &PathTally, at: Instant) {
        let step = self.clock.step(at);
        let Some(point) = binding.point().cloned() else { return };
        if let Some(reach) = self.reach(&point) {
            let path = Path {
                pair: Pair {
                    source: PairEnd::of_any(by),
                    destination: PairEnd::of_any(&binding.peer),
                },
                certainty,
            };
            reach.paths.add(Some(&path), tally, at, step);
        }
    }

    /// The counts that wait, for the next agent.
    pub fn remember_paths(&self) -> Vec<(PathKey, PathCounts)> {
        let waiting = self.waiting_paths.0.iter();
        waiting.map(|path| (path.key, path.counts)).collect()
    }

    /// Restores the counts that waited when the previous agent ended.
    pub fn recall_paths(&mut self, waiting: Vec<(PathKey, PathCounts)>, when: Moment) {
        let waiting = waiting.into_iter();
        let waiting = waiting.map(|(key, counts)| WaitingPath { key, counts, when });
        self.waiting_paths.0.extend(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::{Span, numbered},
        model::{Bounds, Exclusions},
        points::{Kind, Mesh, Point},
    };
    use agent_common::{Caller, Count as _, FlowKey, Reason, Role};
    use std::{sync::Arc, time::Duration};

    /// Knows the workload at each address once its number is at most this.
    struct Known(u32);

    impl Identities for Known {
        fn generation(&self) -> u64 {
            u64::from(self.0)
        }

        fn bind(&self, key: &FlowKey, _: Span) -> Binding {
            let n = key.peer[3];
            let point = Point {
                name: "shop/waypoint".into(),
                kind: Kind::Waypoint,
                mesh: Mesh::Istio,
                instance: "waypoint-1".into(),
            };
            Binding {
                owner: Endpoint::Point(Arc::new(point)),
                place: None,
                peer: match n <= self.0 && n > 0 {
                    true => Endpoint::Workload(numbered(n)),
                    false => Endpoint::Unknown,
                },
                expected: false,
                sure: true,
                question: None,
                generation: self.generation(),
            }
        }
    }

    /// From the caller with one number to the destination with another.
    fn path(caller: u32, destination: u32, counts: PathCounts) -> (PathKey, PathCounts) {
        let key = PathKey {
            caller: Caller {
                address: [0, 0, 0, caller],
                ..Caller::NOBODY
            },
            certainty: if caller == 0 { 0 } else { Certainty::Certain as u16 },
            peer: [0, 0, 0, destination],
            ..PathKey::default()
        };
        assert_eq!(key.upstream().role, Role::Client as u8);
        (key, counts)
    }

    const ONE: PathCounts = PathCounts {
        connections: 1,
        turns: 3,
        ..PathCounts::ZERO
    };

    struct Scene {
        model: Model,
        begin: Instant,
    }

    impl Scene {
        fn new(waiting: usize) -> Self {
            let bounds = Bounds {
                dependents: 10,
                points: 10,
                pairs: 10,
                window: Duration::from_secs(900),
                wait: Duration::from_secs(30),
                settle: Duration::from_secs(2),
                waiting,
                this_node_only: false,
            };
            Self {
                model: Model::new(bounds, Exclusions::default()),
                begin: Instant::now(),
            }
        }

        fn count(&mut self, after: u64, new: Vec<(PathKey, PathCounts)>, known: u32) {
            let when = Moment {
                at: self.begin + Duration::from_secs(after),
                span: Span { from: 0, to: 0 },
            };
            self.model.paths(new, &Known(known), when);
        }

        /// Caller, destination, connections and failures of what has been counted.
        fn counted(&self) -> Vec<(String, String, u64, u64)> {
            let point = Known(0).bind(&FlowKey::default(), Span { from: 0, to: 0 });
            let point = point.point().expect("it is a point's");
            let Some(reach) = self.model.reach_of(point) else {
                return Vec::new();
            };
            let rows = reach.paths.rows(Duration::from_secs(900), self.begin).into_iter();
            rows.map(|row| {
                let Pair { source, destination } = &row.key.pair;
                let name = |end: &PairEnd| end.labels().1.to_owned();
                let failures = row.tally.failures.iter().sum();
                (name(source), name(destination), row.tally.connections, failures)
            })
            .collect()
        }
    }

    fn row(caller: &str, destination: &str, connections: u64, failures: u64) -> (String, String, u64, u64) {
        (caller.to_owned(), destination.to_owned(), connections, failures)
    }

    #[test]
    fn who_is_known_counts_at_once_and_others_wait() {
        let mut scene = Scene::new(100);
        scene.count(0, vec![path(1, 2, ONE), path(3, 2, ONE), path(0, 2, ONE)], 2);
        assert_eq!(scene.counted(), [row("1", "2", 1, 0), row("unknown", "2", 1, 0)]);
        assert_eq!(scene.model.remember_paths().len(), 1);
        scene.count(5, vec![path(1, 2, ONE)], 3);
        let all = [row("1", "2", 2, 0), row("3", "2", 1, 0), row("unknown", "2", 1, 0)];
        assert_eq!(scene.counted(), all);
        assert!(scene.model.remember_paths().is_empty());
    }

    #[test]
    fn what_never_becomes_known_counts_after_a_while_or_when_too_much_waits() {
        let mut scene = Scene::new(2);
        scene.count(0, vec![path(8, 9, ONE), path(7, 9, ONE)], 0);
        assert_eq!(scene.counted(), []);
        scene.count(1, vec![path(6, 9, ONE)], 0);
        assert_eq!(scene.counted(), [row("unknown", "unknown", 1, 0)]);
        scene.count(31, Vec::new(), 0);
        assert_eq!(scene.counted(), [row("unknown", "unknown", 3, 0)]);
    }

    #[test]
    fn a_corrected_reason_is_one_failure() {
        let mut scene = Scene::new(100);
        let of = |reason: Reason, n: u64| {
            let mut counts = PathCounts::ZERO;
            counts.failures[reason as usize] = n;
            path(1, 2, counts)
        };
        scene.count(0, vec![of(Reason::ResetByPeer, 1)], 2);
        scene.count(
            5,
            vec![of(Reason::ResetByPeer, u64::MAX), of(Reason::ResetBySelf, 1)],
            2,
        );
        assert_eq!(scene.counted(), [row("1", "2", 0, 1)]);
    }

    #[test]
    fn what_waits_goes_to_the_next_agent() {
        let mut scene = Scene::new(100);
        scene.count(0, vec![path(1, 2, ONE)], 0);
        let waiting = scene.model.remember_paths();
        let mut next = Scene::new(100);
        let when = Moment {
            at: next.begin,
            span: Span { from: 0, to: 0 },
        };
        next.model.recall_paths(waiting, when);
        next.count(1, Vec::new(), 2);
        assert_eq!(next.counted(), [row("1", "2", 1, 0)]);
    }
}
