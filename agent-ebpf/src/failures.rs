//! Counting a failure, and telling the agent about it.

use crate::{
    atomic::add,
    flows::touch,
    maps::{FAILURES, Socket, lost, settings},
    sock::{Sock, Tcp},
};
use agent_common::{FailureEvent, Flow, Loss, REASONS, Reason};
use aya_ebpf::helpers::bpf_ktime_get_ns;

/// What a record says of a socket that failed so.
#[inline(always)]
pub(crate) const fn outcome(reason: Reason) -> u32 {
    reason as u32 + 1
}

/// Counts a failure of `socket` in its flow and sends the event.
#[inline(always)]
pub(crate) fn fail(socket: &mut Socket, sk: Sock, tcp: Tcp, flow: &mut Flow, reason: Reason) {
    socket.outcome = outcome(reason);
    add(&mut flow.failures[reason as usize % REASONS], 1);
    touch(flow);
    tell(socket, sk, tcp.own_port(), flow, reason);
}

/// A failure that was counted as `was` is really `is`.
#[inline(always)]
pub(crate) fn rename(socket: &mut Socket, flow: &mut Flow, was: Reason, is: Reason) {
    socket.outcome = outcome(is);
    add(&mut flow.failures[was as usize % REASONS], u64::MAX);
    add(&mut flow.failures[is as usize % REASONS], 1);
    touch(flow);
}

#[inline(never)]
fn tell(socket: &Socket, sk: Sock, own_port: u16, flow: &mut Flow, reason: Reason) {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    // Two processors may both begin a new second and send a few more than the limit; none goes uncounted.
    let second = (now / 1_000_000_000) as u32;
    if flow.events_second != second {
        flow.events_second = second;
        flow.events = 0;
    }
    if flow.events >= settings().failure_events_per_second {
        lost(Loss::FailureEventsLimited);
        return;
    }
    flow.events += 1;
    let Some(mut event) = FAILURES.reserve::<FailureEvent>(0) else {
        lost(Loss::FailureEventsDropped);
        return;
    };
    event.write(FailureEvent {
        time_ns: now,
        duration_ns: now.saturating_sub(socket.opened_ns),
        key: socket.key,
        local: sk.own_address(),
        local_port: own_port,
        peer_port: sk.peer_port(),
        reason: reason as u8,
        reserved: [0; 3],
    });
    event.submit(0);
}
