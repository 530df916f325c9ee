//! Turns events into records: identifies the ends, as far as they are known within a short time.

use super::{
    record::{Record, moment},
    ring::Ring,
};
use crate::{
    clock::Millis,
    identity::{Binding, CalledBy, Endpoint, Identities, Lane, Questions, Queue, Span, Upstream, Waiting},
};
use agent_common::{FailureEvent, FlowKey};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an event waits for an identity: longer than the API server's updates usually take, but short enough for a user who
/// follows failures live.
const WAIT: Duration = Duration::from_millis(500);

/// Receives events, and appends records to the ring in the order of their events.
#[derive(Debug)]
pub struct Intake {
    ring: Arc<Ring>,
    /// A single lane, so that events keep their order.
    waiting: Queue<(), Reported>,
    /// Which identities events wait for; `None` with an inventory only, as nothing becomes known later.
    patience: Option<Patience>,
    unrecognized: u64,
}

/// Which identities may become known later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Those of this node's pods only; pods on other nodes are never known.
    pub this_node_only: bool,
}

/// A failure that the kernel has reported.
#[derive(Debug)]
struct Reported {
    event: FailureEvent,
    time: Millis,
    until: Instant,
}

impl Waiting for Reported {
    fn key(&self) -> &FlowKey {
        &self.event.key
    }

    fn span(&self) -> Span {
        moment(&self.event, self.time)
    }
}

impl Intake {
    /// An intake without events. `patience` is set in a cluster; without it nothing waits. `limit` bounds the waiting events.
    pub fn new(ring: Arc<Ring>, limit: usize, patience: Option<Patience>) -> Self {
        Self {
            ring,
            waiting: Queue::new(limit),
            patience,
            unrecognized: 0,
        }
    }

    /// The ring of records.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Whether events wait for an identity.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Receives a connection that failed at `time`, in milliseconds since 1970. Its record is in the ring after the next
    /// [`Intake::settle`], or after it has waited for an identity.
    pub fn take(&mut self, event: FailureEvent, time: Millis, identities: &dyn Identities, now: Instant) {
        let mut lane = self.waiting.take(&());
        if event.corrects == 0 {
            let until = now + WAIT;
            lane.push(Reported { event, time, until });
            self.waiting.bind_last(&mut lane, identities);
            if self.waiting.excess(&lane) > 0 {
                // The oldest event is recorded as far as it is identified, so that many unidentified events cost no more than this.
                let first = lane.pop_if(|_, _| true);
                self.give(first, Some(identities));
            }
        } else {
            correct(&mut lane, &event);
        }
        self.waiting.put((), lane);
    }

    /// The questions that the observer should answer before [`Intake::settle`].
    pub fn take_questions(&mut self) -> Questions {
        self.waiting.take_questions()
    }

    /// Moves events into the ring that are identified, or have waited long enough. Events keep their order.
    pub fn settle(&mut self, identities: &dyn Identities, now: Instant) {
        let patience = self.patience;
        let mut lane = self.waiting.take(&());
        let mut ready = Vec::new();
        loop {
            self.waiting.bind_first(&mut lane, identities);
            let first = lane.pop_if(|told, binding| now >= told.until || !waits(patience, binding));
            match first {
                Some(first) => ready.push(first),
                None => break,
            }
        }
        self.waiting.put((), lane);
        self.give(ready, Some(identities));
    }

    /// Ends the intake: moves all events into the ring as far as they are identified, and closes the ring.
    pub fn close(&mut self) {
        let mut lane = self.waiting.take(&());
        let rest: Vec<_> = std::iter::from_fn(|| lane.pop_if(|_, _| true)).collect();
        self.give(rest, None);
        self.ring.close();
    }

    /// Moves events into the ring. `identities` say who called the points that had opened the connections.
    fn give(&mut self, told: impl IntoIterator<Item = (Reported, Binding)>, identities: Option<&dyn Identities>) {
        let mut unrecognized = 0;
        let records = told.into_iter().filter_map(|(told, binding)| {
            let called_by = identities.map_or(CalledBy::NOBODY, |identities| {
                let span = moment(&told.event, told.time);
                Upstream::from(&told.event).called_by(&binding, identities, span)
            });
            let record = Record::new(&told.event, told.time, &binding, &called_by);
            unrecognized += u64::from(record.is_none());
            record
        });
        self.ring.push(records);
        if unrecognized > 0 && self.unrecognized == 0 {
            tracing::error!(
                "the kernel programs report failures with reasons that this agent does not know; they are not listed"
            );
        }
        self.unrecognized += unrecognized;
    }
}

/// Corrects the reason of a failure that was reported a moment ago. A failure beyond its flow's limit was not reported. One that
/// is in the ring already is not corrected, but the kernel sends both events within microseconds.
fn correct(lane: &mut Lane<Reported>, event: &FailureEvent) {
    let is_same = |told: &&mut Reported| {
        let told = &told.event;
        (told.key, told.local, told.local_port, told.peer_port)
            == (event.key, event.local, event.local_port, event.peer_port)
    };
    if let Some(told) = lane.iter_mut().rev().find(is_same) {
        told.event.reason = event.reason;
    }
}

/// Whether an identity is missing that may still become known.
fn waits(patience: Option<Patience>, binding: &Binding) -> bool {
    patience.is_some_and(|patience| {
        let peer = binding.peer == Endpoint::Unknown && !binding.sure && !patience.this_node_only;
        peer || !binding.knows_local()
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            failure::End,
            filter::Filter,
            record::tests::{binding, event, workload},
        },
        *,
    };
    use agent_common::{Reason, Role};
    use std::cell::Cell;

    /// The known callers, by cgroup.
    struct Callers {
        known: Vec<u64>,
        sure: bool,
        asked: Cell<u64>,
    }

    impl Identities for Callers {
        fn generation(&self) -> u64 {
            self.known.len() as u64
        }

        fn bind(&self, key: &FlowKey, _: Span) -> Binding {
            self.asked.set(self.asked.get() + 1);
            let known = self.known.contains(&key.cgroup);
            let owner = if known {
                Endpoint::Workload(workload(&format!("w{}", key.cgroup)))
            } else {
                Endpoint::Unknown
            };
            Binding {
                sure: self.sure,
                generation: self.generation(),
                ..binding(owner, None, Endpoint::External)
            }
        }
    }

    struct Test {
        intake: Intake,
        callers: Callers,
        begin: Instant,
    }

    impl Test {
        fn new(patience: Option<Patience>, limit: usize) -> Self {
            Self {
                intake: Intake::new(Arc::new(Ring::new(100, 0)), limit, patience),
                callers: Callers {
                    known: Vec::new(),
                    sure: false,
                    asked: Cell::new(0),
                },
                begin: Instant::now(),
            }
        }

        fn in_cluster() -> Self {
            Self::new(Some(Patience { this_node_only: false }), 100)
        }

        fn take(&mut self, cgroup: u64, after_ms: u64) {
            let mut event = event(Role::Client, Reason::Refused);
            event.key.cgroup = cgroup;
            let now = self.begin + Duration::from_millis(after_ms);
            self.intake.take(event, 0, &self.callers, now);
        }

        /// The callers in the ring after this time, in order.
        fn settled(&mut self, after_ms: u64) -> Vec<String> {
            let now = self.begin + Duration::from_millis(after_ms);
            self.intake.settle(&self.callers, now);
            let page = self.intake.ring.read(1, 100, &Filter::ALL);
            let names = page.records.iter().map(|record| match record.shown().owner {
                End::Workload(workload) => workload.name,
                other => format!("{other:?}"),
            });
            names.collect()
        }
    }

    #[test]
    fn who_is_known_does_not_wait() {
        let mut test = Test::in_cluster();
        test.callers.known = vec![1, 2];
        test.take(1, 0);
        test.take(2, 0);
        assert_eq!(test.settled(0), ["shop/w1", "shop/w2"]);
        assert!(!test.intake.waits());
        assert_eq!(test.callers.asked.get(), 2);
    }

    #[test]
    fn updates_within_a_moment_are_not_too_late() {
        let mut test = Test::in_cluster();
        test.callers.known = vec![2];
        test.take(1, 0);
        test.take(2, 10);
        // The second one is identified, but must wait for the first.
        assert!(test.settled(100).is_empty());
        assert!(test.intake.waits());
        let asked = test.callers.asked.get();
        assert!(test.settled(150).is_empty());
        assert_eq!(
            test.callers.asked.get(),
            asked,
            "without updates, nobody is asked again"
        );
        test.callers.known.push(1);
        assert_eq!(test.settled(200), ["shop/w1", "shop/w2"]);
        assert!(!test.intake.waits());
    }

    #[test]
    fn who_stays_unknown_is_given_as_unknown_after_half_a_second() {
        let mut test = Test::in_cluster();
        test.take(1, 0);
        test.take(2, 100);
        assert!(test.settled(499).is_empty());
        assert_eq!(test.settled(500), ["Unknown"]);
        assert_eq!(test.settled(599), ["Unknown"]);
        assert_eq!(test.settled(600), ["Unknown", "Unknown"]);
    }

    #[test]
    fn with_an_inventory_nothing_waits() {
        let mut test = Test::new(None, 100);
        test.take(1, 0);
        assert_eq!(test.settled(0), ["Unknown"]);
    }

    #[test]
    fn a_second_look_changes_the_reason_of_the_same_connection() {
        let mut test = Test::new(None, 100);
        for port in [1, 2] {
            let mut event = event(Role::Server, Reason::ResetByPeer);
            event.peer_port = port;
            test.intake.take(event, 0, &test.callers, test.begin);
        }
        let mut better = event(Role::Server, Reason::ResetBySelf);
        (better.peer_port, better.corrects) = (1, 1);
        test.intake.take(better, 0, &test.callers, test.begin);
        // This one was not reported.
        better.peer_port = 3;
        test.intake.take(better, 0, &test.callers, test.begin);
        test.intake.settle(&test.callers, test.begin);
        let page = test.intake.ring.read(1, 100, &Filter::ALL);
        let reasons: Vec<_> = page.records.iter().map(|record| record.shown().reason).collect();
        assert_eq!(reasons, ["reset_by_self", "reset_by_peer"]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut test = Test::new(Some(Patience { this_node_only: false }), 3);
        for cgroup in 0..5 {
            test.take(cgroup, 0);
        }
        assert_eq!(test.settled(0), ["Unknown", "Unknown"]);
        assert_eq!(test.settled(500).len(), 5);
    }

    #[test]
    fn an_unknown_peer_waits_only_while_it_may_become_known() {
        let of = |peer: Endpoint, sure| Binding {
            sure,
            ..binding(Endpoint::Workload(workload("a")), None, peer)
        };
        let cluster = Some(Patience { this_node_only: false });
        let node = Some(Patience { this_node_only: true });
        for (patience, peer, sure, expected) in [
            (cluster, Endpoint::Unknown, false, true),
            (cluster, Endpoint::Unknown, true, false),
            (cluster, Endpoint::External, false, false),
            (node, Endpoint::Unknown, false, false),
            (None, Endpoint::Unknown, false, false),
        ] {
            assert_eq!(
                waits(patience, &of(peer.clone(), sure)),
                expected,
                "{patience:?} {peer:?} {sure}"
            );
        }
    }

    #[test]
    fn the_end_keeps_what_waits() {
        let mut test = Test::in_cluster();
        test.take(1, 0);
        assert!(test.settled(0).is_empty());
        test.intake.close();
        assert_eq!(test.settled(0), ["Unknown"]);
    }
}
