//! Who depends on a point.

use crate::identity::Workload;
use agent_common::REASONS;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// What one dependent's traffic through the point amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Connections opened.
    pub connections: u64,
    /// Payload bytes, both ways.
    pub bytes: u64,
    /// Failed connections by [`agent_common::Reason`].
    pub failures: [u64; REASONS],
    /// Connections open now.
    pub active: i64,
}

impl Share {
    fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.bytes += other.bytes;
        self.active += other.active;
        for (total, new) in self.failures.iter_mut().zip(other.failures) {
            *total += new;
        }
    }

    /// Whether there was any traffic: the mere end of a connection is none.
    fn is_traffic(&self) -> bool {
        self.connections != 0 || self.bytes != 0 || self.failures.iter().any(|n| *n != 0) || self.active > 0
    }
}

/// A dependent that has series of its own.
#[derive(Clone, Debug)]
struct Tracked {
    share: Share,
    last_traffic: Instant,
}

/// How many depend on a point, at three scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Workloads.
    pub workloads: usize,
    /// Service accounts.
    pub service_accounts: usize,
    /// Namespaces.
    pub namespaces: usize,
}

/// The dependents of one point: a bounded number in detail, the others summed.
#[derive(Clone, Debug)]
pub struct Dependents {
    most: usize,
    tracked: HashMap<Arc<Workload>, Tracked>,
    /// Those beyond the bound, by when they last had traffic; they are counted, but have no series.
    beyond: HashMap<Arc<Workload>, Instant>,
    other: Share,
    unknown: Share,
}

/// Dependents beyond the bound that are remembered at all, as a multiple of the bound.
const REMEMBERED: usize = 50;

impl Dependents {
    /// Nobody yet; at most `most` will be tracked.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            tracked: HashMap::new(),
            beyond: HashMap::new(),
            other: Share::default(),
            unknown: Share::default(),
        }
    }

    /// Adds traffic of `who`; `None` when it is not known.
    pub fn add(&mut self, who: Option<&Arc<Workload>>, share: &Share, now: Instant) {
        if *share == Share::default() {
            return;
        }
        let Some(who) = who else { return self.unknown.add(share) };
        if let Some(tracked) = self.tracked.get_mut(who) {
            tracked.share.add(share);
            if share.is_traffic() {
                tracked.last_traffic = now;
            }
            return;
        }
        if self.tracked.len() < self.most && !self.beyond.contains_key(who) {
            self.tracked.insert(
                who.clone(),
                Tracked {
                    share: share.clone(),
                    last_traffic: now,
                },
            );
            return;
        }
        self.other.add(share);
        if share.is_traffic() && (self.beyond.len() < self.most * REMEMBERED || self.beyond.contains_key(who)) {
            self.beyond.insert(who.clone(), now);
        }
    }

    /// Forgets those beyond the bound whose traffic is older than `window`; and, when there are such, those in detail,
    /// whose series end then, to make room.
    pub fn expire(&mut self, window: Duration, now: Instant) {
        self.beyond.retain(|_, last| now - *last <= window);
        if !self.beyond.is_empty() {
            self.tracked.retain(|_, tracked| tracked.is_active(window, now));
            // Their next traffic is counted in detail.
            let room = self.most.saturating_sub(self.tracked.len());
            let moved: Vec<_> = self.beyond.keys().take(room).cloned().collect();
            for who in moved {
                let last_traffic = self.beyond.remove(&who).unwrap_or(now);
                self.tracked.insert(
                    who,
                    Tracked {
                        share: Share::default(),
                        last_traffic,
                    },
                );
            }
        }
    }

    /// How many have traffic in the window, or connections open.
    pub fn counts(&self, window: Duration, now: Instant) -> Counts {
        let tracked = self
            .tracked
            .iter()
            .filter(|(_, t)| t.is_active(window, now))
            .map(|(who, _)| who);
        let beyond = self
            .beyond
            .iter()
            .filter(|(_, last)| now - **last <= window)
            .map(|(who, _)| who);
        let (mut accounts, mut namespaces, mut workloads) = (BTreeSet::new(), BTreeSet::new(), 0);
        for who in tracked.chain(beyond) {
            workloads += 1;
            accounts.insert((&who.namespace, &who.service_account));
            namespaces.insert(&who.namespace);
        }
        Counts {
            workloads,
            service_accounts: accounts.len(),
            namespaces: namespaces.len(),
        }
    }

    /// Those tracked: who, what, and whether they have traffic in the window. In a stable order.
    pub fn rows(&self, window: Duration, now: Instant) -> Vec<(Arc<Workload>, Share, bool)> {
        let mut rows: Vec<_> = self
            .tracked
            .iter()
            .map(|(who, tracked)| (who.clone(), tracked.share.clone(), tracked.is_active(window, now)))
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows
    }

    /// Dependents beyond the bound with traffic in the window.
    pub fn untracked(&self) -> usize {
        self.beyond.len()
    }

    /// What the others amount to, and whether there are any.
    pub fn other(&self) -> &Share {
        &self.other
    }

    /// Traffic of nobody known.
    pub fn unknown(&self) -> &Share {
        &self.unknown
    }
}

impl Tracked {
    fn is_active(&self, window: Duration, now: Instant) -> bool {
        self.share.active > 0 || now - self.last_traffic <= window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn workload(name: &str, namespace: &str) -> Arc<Workload> {
        Arc::new(Workload {
            namespace: namespace.into(),
            kind: "Workload".into(),
            name: name.into(),
            service_account: "default".into(),
            principal: String::new(),
        })
    }

    fn connections(n: u64) -> Share {
        Share {
            connections: n,
            bytes: 10 * n,
            ..Share::default()
        }
    }

    #[test]
    fn scopes_are_counted_apart() {
        let mut dependents = Dependents::new(10);
        let now = Instant::now();
        for (name, namespace) in [("a", "x"), ("b", "x"), ("a", "y")] {
            dependents.add(Some(&workload(name, namespace)), &connections(1), now);
        }
        let counts = dependents.counts(WINDOW, now);
        assert_eq!(
            counts,
            Counts {
                workloads: 3,
                service_accounts: 2,
                namespaces: 2
            }
        );
    }

    #[test]
    fn a_dependent_leaves_after_the_window_but_not_with_an_open_connection() {
        let mut dependents = Dependents::new(10);
        let now = Instant::now();
        dependents.add(Some(&workload("a", "x")), &connections(1), now);
        dependents.add(
            Some(&workload("b", "x")),
            &Share {
                active: 1,
                ..connections(1)
            },
            now,
        );
        let later = now + WINDOW + Duration::from_secs(1);
        assert_eq!(dependents.counts(WINDOW, later).workloads, 1);
        // The end of a connection is no traffic.
        dependents.add(
            Some(&workload("b", "x")),
            &Share {
                active: -1,
                ..Share::default()
            },
            later,
        );
        assert_eq!(dependents.counts(WINDOW, later).workloads, 0);
        assert_eq!(
            dependents
                .rows(WINDOW, later)
                .iter()
                .filter(|(_, _, active)| *active)
                .count(),
            0
        );
    }

    #[test]
    fn beyond_the_bound_the_sum_stays_exact() {
        let mut dependents = Dependents::new(3);
        let now = Instant::now();
        for n in 0..10 {
            dependents.add(Some(&workload(&format!("w{n}"), "x")), &connections(n + 1), now);
        }
        dependents.add(None, &connections(100), now);
        let tracked: u64 = dependents
            .rows(WINDOW, now)
            .iter()
            .map(|(_, share, _)| share.connections)
            .sum();
        assert_eq!(tracked, 1 + 2 + 3);
        assert_eq!(tracked + dependents.other().connections, 55);
        assert_eq!(dependents.unknown().connections, 100);
        assert_eq!(dependents.untracked(), 7);
        assert_eq!(dependents.counts(WINDOW, now).workloads, 10);
        dependents.expire(WINDOW, now + WINDOW * 2);
        assert_eq!(dependents.untracked(), 0);
    }

    #[test]
    fn those_without_traffic_make_room() {
        let mut dependents = Dependents::new(1);
        let (now, later) = (Instant::now(), Instant::now() + WINDOW * 2);
        dependents.add(Some(&workload("old", "x")), &connections(1), now);
        dependents.add(Some(&workload("new", "x")), &connections(1), later);
        assert_eq!(dependents.untracked(), 1);
        dependents.expire(WINDOW, later);
        dependents.add(Some(&workload("new", "x")), &connections(1), later);
        let rows = dependents.rows(WINDOW, later);
        assert_eq!(
            (rows.len(), rows[0].0.name.as_str(), rows[0].1.connections),
            (1, "new", 1)
        );
        assert_eq!(dependents.untracked(), 0);
    }
}
