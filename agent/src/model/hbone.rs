//! Connections that get no answer at the port of HBONE, and whether the pod that they go to answers at its other ports.
//!
//! A network policy that was written before its pods joined an ambient mesh allows their own ports, and drops what is sent to the
//! port of the tunnel. A pod that is gone, or whose node is cut off, answers at no port. So a verdict takes three observations in
//! this order: an attempt without an answer, an answer of the same address at another port, and another attempt without an answer
//! of the same caller. Both vanish together when a pod dies or a network comes back.

use super::{
    bounded::{Bounded, Tally},
    pair::{Pair, PairEnd},
};
use crate::identity::{Binding, Endpoint};
use agent_common::{Flow, FlowKey, Reason, Role};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Where ztunnels and waypoints accept HBONE (`HBONE_PORT` of Istio).
const PORT: u16 = 15_008;

/// After so long without an attempt, a caller that got no answer is forgotten. Clients that are refused a connection back off for
/// up to two minutes.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Attempts to connect that got no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// All of them.
    pub unanswered: u64,
    /// Those of them to an address that answered at another port in between.
    pub blocked: u64,
}

impl Tally for Attempts {
    fn add(&mut self, other: &Self) {
        self.unanswered += other.unanswered;
        self.blocked += other.blocked;
    }

    fn uses(&self) -> (i64, u64) {
        (0, self.unanswered)
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn of_open(_open: i64) -> Self {
        Self::default()
    }
}

/// A caller that gets no answer.
#[derive(Debug)]
struct Silence {
    /// Since when the address has to have answered at another port.
    since: Option<Instant>,
    /// Attempts since then, of which it is not known whether they are blocked.
    pending: u64,
    /// SYNs that were repeated, less those of attempts that were given up since.
    repeated: u64,
    /// When something was last heard of the caller's attempts.
    last: Instant,
}

/// An address that does not answer some callers at [`PORT`].
#[derive(Debug, Default)]
struct Target {
    /// When it last answered at another port.
    answered: Option<Instant>,
    callers: HashMap<PairEnd, Silence>,
}

/// The attempts so far, and the addresses that do not answer.
#[derive(Debug)]
pub struct Hbone {
    /// Attempts that got no answer, by caller and called.
    pub attempts: Bounded<Pair, Attempts>,
    targets: HashMap<[u32; 4], Target>,
    /// How many callers all targets have together, and how many they may have.
    callers: usize,
    most: usize,
    rejected: u64,
}

impl Hbone {
    /// Nothing counted yet; at most `most` pairs are tracked in detail, and as many callers are watched.
    pub fn new(most: usize) -> Self {
        Self {
            attempts: Bounded::new(most),
            targets: HashMap::new(),
            callers: 0,
            most,
            rejected: 0,
        }
    }

    /// Adds the change of a flow's counters.
    pub fn add(&mut self, key: &FlowKey, role: Role, delta: &Flow, binding: &Binding, now: Instant, step: u32) {
        if role != Role::Client {
            return;
        }
        let answers = delta.opened + delta.failures[Reason::Refused as usize];
        if key.port != PORT {
            if answers > 0
                && let Some(target) = self.targets.get_mut(&key.peer)
            {
                target.answered = Some(now);
            }
            return;
        }
        let Some(pair) = ends(binding) else { return };
        if answers > 0 {
            self.forget(&key.peer, &pair.source);
        }
        let attempts = self.unanswered(&key.peer, &pair.source, delta, answers > 0, now);
        self.attempts.add(Some(&pair), &attempts, now, step);
    }

    /// The attempts of a caller that got no answer, and how many are known to be blocked by now.
    fn unanswered(
        &mut self,
        address: &[u32; 4],
        source: &PairEnd,
        delta: &Flow,
        answers: bool,
        now: Instant,
    ) -> Attempts {
        let timed_out = delta.failures[Reason::HandshakeTimedOut as usize];
        // Proxies wait ten seconds, and give up long before the kernel does.
        let given_up = delta.failures[Reason::Cancelled as usize];
        if timed_out + given_up + delta.syn_retransmits == 0 {
            return Attempts::default();
        }
        if answers || !self.has_room(address, source) {
            return Attempts {
                unanswered: timed_out + given_up.min(delta.syn_retransmits),
                blocked: 0,
            };
        }
        let target = self.targets.entry(*address).or_default();
        let silence = target.callers.entry(source.clone()).or_insert_with(|| {
            self.callers += 1;
            Silence {
                since: None,
                pending: 0,
                repeated: 0,
                last: now,
            }
        });
        silence.last = now;
        silence.repeated += delta.syn_retransmits;
        // What was given up before a SYN was repeated says nothing.
        let given_up = given_up.min(silence.repeated);
        silence.repeated -= given_up;
        let unanswered = timed_out + given_up;
        if unanswered == 0 {
            return Attempts::default();
        }
        let mut blocked = 0;
        match silence.since {
            Some(since) if target.answered.is_some_and(|answered| answered > since) => {
                blocked = unanswered + std::mem::take(&mut silence.pending);
                silence.since = Some(now);
            }
            since => {
                silence.pending += unanswered;
                silence.since = since.or(Some(now));
            }
        }
        Attempts { unanswered, blocked }
    }

    /// Whether this caller is watched, or can be.
    fn has_room(&mut self, address: &[u32; 4], source: &PairEnd) -> bool {
        let known = (self.targets.get(address)).is_some_and(|target| target.callers.contains_key(source));
        let has_room = known || self.callers < self.most;
        self.rejected += u64::from(!has_room);
        has_room
    }

    /// The address answers this caller.
    fn forget(&mut self, address: &[u32; 4], source: &PairEnd) {
        if let Some(target) = self.targets.get_mut(address)
            && target.callers.remove(source).is_some()
        {
            self.callers -= 1;
            if target.callers.is_empty() {
                self.targets.remove(address);
            }
        }
    }

    /// Forgets old callers and pairs: see [`Bounded::expire`].
    pub fn expire(&mut self, window: Duration, now: Instant, step: u32) {
        self.attempts.expire(window, now, step);
        for target in self.targets.values_mut() {
            target
                .callers
                .retain(|_, silence| now.saturating_duration_since(silence.last) < REMEMBERED);
        }
        self.targets.retain(|_, target| !target.callers.is_empty());
        self.callers = self.targets.values().map(|target| target.callers.len()).sum();
    }

    /// Number of pairs and callers that were rejected since the last call.
    pub fn take_rejected(&mut self) -> u64 {
        self.attempts.take_rejected() + std::mem::take(&mut self.rejected)
    }
}

/// Caller and called; `None` where the called end is no pod that is known, and for what the node itself calls.
fn ends(binding: &Binding) -> Option<Pair> {
    let source = match binding.workload() {
        Some(workload) => PairEnd::Workload(workload.clone()),
        None => PairEnd::of(&binding.owner)?,
    };
    let destination = match &binding.peer {
        Endpoint::Workload(_) | Endpoint::Point(_) => PairEnd::of(&binding.peer)?,
        Endpoint::Node | Endpoint::Network(_) | Endpoint::External | Endpoint::Unknown => return None,
    };
    Some(Pair { source, destination })
}

#[cfg(test)]
mod tests;
