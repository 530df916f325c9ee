//! From an event to a record: who it was, as far as that is known by now or within a moment.

use super::{
    record::{Record, moment},
    ring::Ring,
};
use crate::identity::{Binding, Millis, Party, Resolver, Span};
use agent_common::{FailureEvent, FlowKey};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// An event waits so long for an identity: longer than the API server's news take as a rule, and no longer than a reader who
/// wants to see a failure at once can bear.
const WAIT: Duration = Duration::from_millis(500);

/// Answers who somebody was. The resolver's part in it.
pub trait Identities {
    /// Changes whenever somebody new may be known.
    fn generation(&self) -> u64;
    /// Who it was.
    fn bind(&mut self, key: &FlowKey, span: Span) -> Binding;
}

impl Identities for Resolver {
    fn generation(&self) -> u64 {
        Self::generation(self)
    }

    fn bind(&mut self, key: &FlowKey, span: Span) -> Binding {
        Self::bind(self, key, span)
    }
}

/// Takes events in, and puts records into the ring in the order in which their events came.
#[derive(Debug)]
pub struct Intake {
    ring: Arc<Ring>,
    held: VecDeque<Held>,
    limit: usize,
    /// What waits for an identity; with an inventory all that will be known is known.
    patience: Option<Patience>,
    strange: u64,
}

/// Whose identities may come late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Those of this node's pods only; who is on other nodes is never known.
    pub this_node_only: bool,
}

#[derive(Debug)]
struct Held {
    event: FailureEvent,
    time: Millis,
    until: Instant,
    binding: Binding,
}

impl Intake {
    /// Nothing taken in yet. `patience` is for a cluster; without one nothing waits. `limit` bounds what waits.
    pub fn new(ring: Arc<Ring>, limit: usize, patience: Option<Patience>) -> Self {
        Self {
            ring,
            held: VecDeque::new(),
            limit,
            patience,
            strange: 0,
        }
    }

    /// The records.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Whether events wait for an identity.
    pub fn waits(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes in a connection that failed at `time`, in milliseconds since 1970. It is in the ring after the next
    /// [`Intake::settle`], or a moment later.
    pub fn take(&mut self, event: FailureEvent, time: Millis, identities: &mut impl Identities, now: Instant) {
        if event.corrects != 0 {
            self.correct(&event);
            return;
        }
        let binding = identities.bind(&event.key, moment(&event, time));
        self.held.push_back(Held {
            event,
            time,
            until: now + WAIT,
            binding,
        });
        if self.held.len() > self.limit {
            // As far as it is known: a storm of unknown ones must not cost more than this.
            let first = self.held.pop_front();
            self.give(first);
        }
    }

    /// A second look at a failure that came a moment ago. One that was one too many for its flow has not come, and nor has one
    /// that is in the ring already: the kernel tells of both within microseconds.
    fn correct(&mut self, event: &FailureEvent) {
        let same = |held: &&mut Held| {
            let told = &held.event;
            (told.key, told.local, told.local_port, told.peer_port)
                == (event.key, event.local, event.local_port, event.peer_port)
        };
        if let Some(held) = self.held.iter_mut().rev().find(same) {
            held.event.reason = event.reason;
        }
    }

    /// Puts into the ring what is known by now, or has waited long enough. A later event does not overtake an earlier one.
    pub fn settle(&mut self, identities: &mut impl Identities, now: Instant) {
        let generation = identities.generation();
        let mut ready = Vec::new();
        while let Some(first) = self.held.front_mut() {
            let expired = now >= first.until;
            if waits(self.patience, &first.binding) && (expired || first.binding.generation != generation) {
                first.binding = identities.bind(&first.event.key, moment(&first.event, first.time));
            }
            if !expired && waits(self.patience, &first.binding) {
                break;
            }
            ready.extend(self.held.pop_front());
        }
        self.give(ready);
    }

    /// The end: everything goes into the ring as it is known, and nothing comes after it.
    pub fn close(&mut self) {
        let rest = std::mem::take(&mut self.held);
        self.give(rest);
        self.ring.close();
    }

    fn give(&mut self, held: impl IntoIterator<Item = Held>) {
        let mut strange = 0;
        let records = held.into_iter().filter_map(|held| {
            let record = Record::new(&held.event, held.time, &held.binding);
            strange += u64::from(record.is_none());
            record
        });
        self.ring.push(records);
        if strange > 0 && self.strange == 0 {
            tracing::error!(
                "the kernel programs tell of failures that this agent does not understand; they are left out"
            );
        }
        self.strange += strange;
    }
}

/// Whether an identity is missing that may still come.
fn waits(patience: Option<Patience>, binding: &Binding) -> bool {
    patience.is_some_and(|patience| {
        let peer = binding.peer == Party::Unknown && !binding.sure && !patience.this_node_only;
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

    /// Callers by their cgroup, as far as they are known.
    struct Callers {
        known: Vec<u64>,
        sure: bool,
        asked: u64,
    }

    impl Identities for Callers {
        fn generation(&self) -> u64 {
            self.known.len() as u64
        }

        fn bind(&mut self, key: &FlowKey, _: Span) -> Binding {
            self.asked += 1;
            let known = self.known.contains(&key.cgroup);
            let holder = if known {
                Party::Workload(workload(&format!("w{}", key.cgroup)))
            } else {
                Party::Unknown
            };
            Binding {
                sure: self.sure,
                generation: self.generation(),
                ..binding(holder, None, Party::External)
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
                    asked: 0,
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
            self.intake.take(event, 0, &mut self.callers, now);
        }

        /// Who is in the ring after so long, in order.
        fn settled(&mut self, after_ms: u64) -> Vec<String> {
            let now = self.begin + Duration::from_millis(after_ms);
            self.intake.settle(&mut self.callers, now);
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
        assert_eq!(test.callers.asked, 2);
    }

    #[test]
    fn news_within_a_moment_are_not_too_late() {
        let mut test = Test::in_cluster();
        test.callers.known = vec![2];
        test.take(1, 0);
        test.take(2, 10);
        // The second one is known, but came later.
        assert!(test.settled(100).is_empty());
        assert!(test.intake.waits());
        let asked = test.callers.asked;
        assert!(test.settled(150).is_empty());
        assert_eq!(test.callers.asked, asked, "without news, nobody is asked again");
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
            test.intake.take(event, 0, &mut test.callers, test.begin);
        }
        let mut better = event(Role::Server, Reason::ResetBySelf);
        (better.peer_port, better.corrects) = (1, 1);
        test.intake.take(better, 0, &mut test.callers, test.begin);
        // Nobody was told of this one.
        better.peer_port = 3;
        test.intake.take(better, 0, &mut test.callers, test.begin);
        test.intake.settle(&mut test.callers, test.begin);
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
        let of = |peer: Party, sure| Binding {
            sure,
            ..binding(Party::Workload(workload("a")), None, peer)
        };
        let cluster = Some(Patience { this_node_only: false });
        let node = Some(Patience { this_node_only: true });
        for (patience, peer, sure, expected) in [
            (cluster, Party::Unknown, false, true),
            (cluster, Party::Unknown, true, false),
            (cluster, Party::External, false, false),
            (node, Party::Unknown, false, false),
            (None, Party::Unknown, false, false),
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
