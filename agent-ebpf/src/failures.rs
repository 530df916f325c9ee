//! Counting failures, and sending events about them to the agent.

use crate::{
    maps::{FAILURES, Flow, lost, settings},
    pairing,
    record::Socket,
    sock::{Sock, Tcp},
};
use agent_common::{Caller, Certainty, FailureEvent, FlowKey, Loss, Reason};
use aya_ebpf::helpers::bpf_ktime_get_ns;

/// The [`Socket::outcome`] of a connection that failed for this reason.
#[inline(always)]
pub(crate) const fn outcome(reason: Reason) -> u32 {
    reason as u32 + 1
}

/// Counts a failure in its flow and sends the event; `since_ns` is 0 when the duration is not known.
#[inline(always)]
pub(crate) fn fail(key: &FlowKey, since_ns: u64, sk: Sock, tcp: Tcp, flow: &Flow, reason: Reason) {
    flow.failures[reason as usize % Reason::COUNT].add(1);
    let path = pairing::of(key, sk);
    if let Some(path) = path {
        pairing::failed(path, sk, reason, 1);
    }
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
    event.write(describe(key, since_ns, sk, tcp, reason, now));
    if let Some(path) = path {
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

#[inline(always)]
fn describe(key: &FlowKey, since_ns: u64, sk: Sock, tcp: Tcp, reason: Reason, now: u64) -> FailureEvent {
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
        reason: reason as u8,
        corrects: 0,
        certainty: Certainty::Unknown as u8,
        reserved: [0; 5],
    }
}

/// Corrects the reason of a failure from `was` to `is`. Its event was sent a moment ago, unless it exceeded the limit; the
/// agent finds it and corrects it.
#[inline(always)]
pub(crate) fn rename(socket: &Socket, sk: Sock, tcp: Tcp, flow: &Flow, was: Reason, is: Reason) {
    socket.outcome.set(outcome(is));
    flow.failures[was as usize % Reason::COUNT].add(u64::MAX);
    flow.failures[is as usize % Reason::COUNT].add(1);
    let key = socket.key.get();
    if let Some(path) = pairing::of(&key, sk) {
        pairing::failed(path, sk, was, u64::MAX);
        pairing::failed(path, sk, is, 1);
    }
    if let Some(mut event) = FAILURES.reserve::<FailureEvent>(0) {
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        event.write(FailureEvent {
            corrects: 1,
            ..describe(&key, socket.since_ns.get(), sk, tcp, is, now)
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
