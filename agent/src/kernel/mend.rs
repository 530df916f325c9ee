//! Connections that are open according to the counters only.
//!
//! Where the kernel skips a run of the life-cycle program and its twin is not attached, the end of a connection may not be counted:
//! it would stay open permanently. Walks over open files show which connections exist; what no walk has seen for as long as an idle
//! flow stays is counted as ended, at most as many connections as runs are missing.

use agent_common::{Flow, FlowKey, Role};
use std::collections::{HashMap, HashSet};

/// What is known about missing runs.
pub struct Missing<'a> {
    /// Runs of the life-cycle program that the kernel skipped and its twin did not make up for.
    pub runs: u64,
    /// The number of this tick's walk, if it has visited every open file and counted by flow.
    pub walk: Option<u32>,
    /// Network namespaces and ports where connections wait to be accepted: no process has opened them yet.
    pub waiting: &'a HashSet<(u32, u16)>,
}

/// Connections that are open according to the counters only, and since when.
pub struct Mend {
    suspects: HashMap<FlowKey, Suspect>,
    readings: u32,
    mended: u64,
    /// Connections counted as ended by previous agents.
    before: u64,
}

struct Suspect {
    begun: u64,
    closed: u64,
    /// The most connections that a walk has seen since.
    seen: u64,
    times: u32,
}

impl Mend {
    /// Counts as ended what no walk has seen in so many consecutive readings.
    pub fn new(readings: u32) -> Self {
        Self {
            suspects: HashMap::new(),
            readings,
            mended: 0,
            before: 0,
        }
    }

    /// Connections that this agent has counted as ended in this way.
    pub const fn mended(&self) -> u64 {
        self.mended
    }

    /// Missing runs that are accounted for: connections counted as ended in this way by this agent and previous ones.
    pub const fn explained(&self) -> u64 {
        self.before + self.mended
    }

    /// Sets the number of connections that previous agents have counted as ended.
    pub const fn recall(&mut self, mended: u64) {
        self.before = mended;
    }

    /// Compares the counters of a flow with what the walk has seen.
    pub fn look(&mut self, key: &FlowKey, flow: &Flow, missing: &Missing<'_>) {
        let Some(walk) = missing.walk else { return };
        let seen = flow.seen_by(walk);
        let waits = key.role == Role::Server as u8 && missing.waiting.contains(&(key.netns, key.port));
        if missing.runs <= self.explained() || key.role == Role::Listener as u8 || flow.open() <= seen || waits {
            self.suspects.remove(key);
            return;
        }
        let (begun, closed) = (flow.opened + flow.adopted, flow.closed);
        let suspect = self.suspects.entry(*key).or_insert(Suspect {
            begun,
            closed,
            seen,
            times: 0,
        });
        if (suspect.begun, suspect.closed) == (begun, closed) {
            suspect.seen = suspect.seen.max(seen);
            suspect.times += 1;
        } else {
            *suspect = Suspect {
                begun,
                closed,
                seen,
                times: 0,
            };
        }
    }

    /// Ends connections that have long been open according to the counters only: `end` counts so many connections of a flow as
    /// ended, and returns whether it did.
    ///
    /// # Errors
    /// The error returned by `end`.
    pub fn end(
        &mut self,
        missing: &Missing<'_>,
        mut end: impl FnMut(&FlowKey, u64) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let due: Vec<FlowKey> = (self.suspects.iter())
            .filter(|(_, suspect)| suspect.times > self.readings)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let Some(suspect) = self.suspects.remove(&key) else {
                continue;
            };
            let unexplained = missing.runs.saturating_sub(self.explained());
            let open = suspect.begun.saturating_sub(suspect.closed + suspect.seen);
            let number = open.min(unexplained);
            if number > 0 && end(&key, number)? {
                self.mended += number;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::one_more_seen;

    fn missing(runs: u64, waiting: &HashSet<(u32, u16)>) -> Missing<'_> {
        Missing {
            runs,
            walk: Some(1),
            waiting,
        }
    }

    fn key(port: u16) -> FlowKey {
        FlowKey {
            netns: 7,
            port,
            role: Role::Server as u8,
            ..FlowKey::default()
        }
    }

    /// The number of connections counted as ended when a flow with five open connections looks like this in ten consecutive
    /// readings.
    fn ended(mend: &mut Mend, flow: &Flow, missing: &Missing<'_>) -> u64 {
        let (mut flow, mut ended) = (*flow, 0);
        for _ in 0..10 {
            flow.closed = ended;
            mend.look(&key(80), &flow, missing);
            mend.end(missing, |_, number| {
                ended += number;
                Ok(true)
            })
            .expect("no error");
        }
        ended
    }

    #[test]
    fn what_no_walk_has_seen_ends_and_no_more_than_is_missing() {
        let nobody = HashSet::new();
        let mut flow = Flow {
            opened: 5,
            ..Flow::ZERO
        };
        flow.seen = one_more_seen(0, 1);
        flow.seen = one_more_seen(flow.seen, 1);
        assert_eq!(
            ended(&mut Mend::new(3), &flow, &missing(100, &nobody)),
            3,
            "two are seen"
        );
        assert_eq!(ended(&mut Mend::new(3), &flow, &missing(1, &nobody)), 1);
        assert_eq!(ended(&mut Mend::new(3), &flow, &missing(0, &nobody)), 0);
        assert_eq!(ended(&mut Mend::new(20), &flow, &missing(100, &nobody)), 0, "not yet");
    }

    #[test]
    fn connections_that_wait_to_be_accepted_are_open() {
        let flow = Flow {
            opened: 5,
            ..Flow::ZERO
        };
        let queue = HashSet::from([(7, 80)]);
        assert_eq!(ended(&mut Mend::new(3), &flow, &missing(100, &queue)), 0);
        let other = HashSet::from([(7, 81), (8, 80)]);
        assert_eq!(ended(&mut Mend::new(3), &flow, &missing(100, &other)), 5);
    }

    #[test]
    fn a_flow_that_changes_begins_anew() {
        let nobody = HashSet::new();
        let mut mend = Mend::new(3);
        for n in 0..10 {
            let flow = Flow {
                opened: 5 + n,
                closed: n,
                ..Flow::ZERO
            };
            mend.look(&key(80), &flow, &missing(100, &nobody));
            mend.end(&missing(100, &nobody), |_, _| panic!("nothing is due"))
                .expect("no error");
        }
    }
}
