//! Counting failures, and sending events about them to the agent.

use crate::{
    maps::{FAILURES, Flow, lost, settings},
    outcome::Outcome,
    path::Path,
    sock::{Sock, Tcp},
};
use agent_common::{Caller, Certainty, FailureEvent, FlowKey, Loss};
use aya_ebpf::helpers::bpf_ktime_get_ns;

/// A connection or an attempt that failed.
#[derive(Clone, Copy)]
pub(crate) struct Failed {
    pub(crate) sk: Sock,
    pub(crate) tcp: Tcp,
    /// When it began, in nanoseconds of `CLOCK_MONOTONIC`; 0: not known.
    pub(crate) since_ns: u64,
    pub(crate) outcome: Outcome,
    /// Its path, if a point has opened it.
    pub(crate) path: Option<&'static Path>,
}

/// Counts a failure in its flow, which has this key, and sends the event.
#[inline(always)]
pub(crate) fn fail(failed: &Failed, key: &FlowKey, flow: &Flow) {
    count(failed, flow, 1);
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if !may_report(flow, now) {
        lost(Loss::FailureEventsLimited);
        return;
    }
    let Some(mut event) = FAILURES.reserve::<FailureEvent>(0) else {
        lost(Loss::FailureEventsDropped);
        return;
    };
    event.write(describe(failed, key, now));
    if let Some(path) = failed.path {
        let (caller, certainty) = path.caller();
        let event = event.as_mut_ptr();
        // SAFETY: fields of the event, which has just been written.
        unsafe {
            (&raw mut (*event).caller).write_volatile(caller);
            (&raw mut (*event).certainty).write_volatile(certainty);
        }
    }
    event.submit(0);
}

/// Counts it in its flow and path; `by` is 1, or -1 when it was another reason.
#[inline(always)]
fn count(failed: &Failed, flow: &Flow, by: u64) {
    failed.outcome.counter(&flow.failures).add(by);
    if let Some(path) = failed.path {
        path.failed(failed.outcome, by);
    }
}

#[inline(always)]
fn describe(failed: &Failed, key: &FlowKey, now: u64) -> FailureEvent {
    let Failed {
        sk,
        tcp,
        since_ns,
        outcome,
        ..
    } = *failed;
    FailureEvent {
        time_ns: now,
        duration_ns: if since_ns == 0 { 0 } else { now.saturating_sub(since_ns) },
        sent: tcp.sent(),
        received: tcp.received(),
        key: *key,
        caller: Caller::NOBODY,
        local: sk.own_address(),
        local_port: tcp.own_port(),
        peer_port: sk.peer_port(),
        retransmits: tcp.retransmits(),
        reason: outcome.reason() as u8,
        corrects: 0,
        certainty: Certainty::Unknown as u8,
        reserved: [0; 5],
    }
}

/// Corrects the reason of a failure to that of `failed`, from what it `was` counted as. Its event was sent a moment ago, unless it
/// exceeded the limit; the agent finds it and corrects it.
#[inline(always)]
pub(crate) fn rename(failed: &Failed, key: &FlowKey, flow: &Flow, was: Outcome) {
    count(
        &Failed {
            outcome: was,
            ..*failed
        },
        flow,
        u64::MAX,
    );
    count(failed, flow, 1);
    if let Some(mut event) = FAILURES.reserve::<FailureEvent>(0) {
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        event.write(FailureEvent {
            corrects: 1,
            ..describe(failed, key, now)
        });
        event.submit(0);
    }
}

/// Whether the flow may send another event in this second.
#[inline(always)]
fn may_report(flow: &Flow, now: u64) -> bool {
    // Two CPUs may both begin a new second and send a few more events than the limit; every failure is counted.
    let second = (now / 1_000_000_000) as u32;
    if flow.events_second.get() != second {
        flow.events_second.set(second);
        flow.events.set(0);
    }
    if flow.events.get() >= settings().failure_events_per_second {
        return false;
    }
    flow.events.add(1);
    true
}
