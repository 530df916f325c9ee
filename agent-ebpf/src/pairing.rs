//! Paths through a point: whose traffic an upstream connection carries. The thread that reads from one connection and then opens,
//! or writes to, another one ties the two; a connection that it has just accepted, or tried to read from, counts as read.
//!
//! A proxy for HTTP connects, or writes to a pooled connection, after it has read a request; a proxy for TCP may connect as soon as
//! it has accepted. Event loops postpone writes: then several connections were read from before the first write, and who is meant
//! is estimated, unless the upstream connection was opened for one of them.

use crate::{
    path::Path,
    points::{self, Exchange},
    reads::Reads,
    sock::{Sock, Tcp},
};
use agent_common::{Caller, Certainty, FlowKey, Role};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};

#[inline(always)]
fn this_thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The peer of a connection that a point has accepted.
#[inline(always)]
fn caller(sk: Sock, tcp: Tcp) -> Caller {
    let (_, netns) = sk.owner();
    Caller {
        address: sk.peer_address(),
        netns,
        port: tcp.own_port(),
        reserved: 0,
    }
}

/// A thread of a point has accepted this connection, or tried to read from it, before there was data.
#[inline(always)]
pub(crate) fn touched(sk: Sock, tcp: Tcp, thread: u32, now: u64) {
    let is_new = sk.exchange().is_none_or(|exchange| exchange.turns.get() == 0);
    if sk.backlog_limit() == 0 || !is_new {
        return;
    }
    if let Some(reads) = Reads::of_or_new(thread) {
        reads.last.set(now, sk, caller(sk, tcp));
        reads.with_data.set(0);
    }
}

/// A thread of a point has read data from this connection.
#[inline(always)]
pub(crate) fn read(sk: Sock, tcp: Tcp, exchange: &Exchange, thread: u32, now: u64) {
    if exchange.role.get() != Role::Server as u32 {
        if let Some(reads) = Reads::of(thread) {
            reads.last.at.set(0);
        }
        return;
    }
    if let Some(reads) = Reads::of_or_new(thread) {
        exchange.path.from.set(sk.as_ptr() as u64);
        let caller = caller(sk, tcp);
        reads.last.set(now, sk, caller);
        reads.with_data.set(1);
        reads.wait(now, sk, caller);
    }
}

/// A thread of a point opens a connection.
#[inline(always)]
pub(crate) fn connecting(sk: Sock) {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(exchange) = sk.exchange_or_new(now) else {
        return;
    };
    let path = &exchange.path;
    path.begin(sk);
    path.is_new.set(1);
    let mut certainty = Certainty::Unknown;
    let mut is_bound = true;
    let thread = this_thread();
    if let Some(reads) = Reads::of(thread) {
        let last = &reads.last;
        let is_adjacent = last.at.get() != 0;
        last.at.set(0);
        if is_adjacent && reads.with_data.get() == 0 {
            certainty = Certainty::Estimated;
            path.carry(last);
        } else {
            let glance = reads.look(now, last.socket.get());
            if glance.number != 0 {
                if !is_adjacent {
                    reads.in_batches.set(1);
                }
                is_bound = false;
                let place = match is_adjacent && glance.own != 0 && reads.in_batches.get() == 0 {
                    true => glance.own - 1,
                    false => glance.oldest,
                };
                certainty = reads.certainty(glance);
                path.take(reads.waiting(place));
                path.open(reads, thread);
            }
        }
    }
    path.set_certainty(certainty);
    path.is_bound.set(u32::from(is_bound));
}

/// A thread of a point has written to a connection; `begins`: the other end was the last one to send.
#[inline(always)]
pub(crate) fn written(exchange: &Exchange, thread: u32, now: u64, begins: bool) {
    let Some(reads) = Reads::of(thread) else { return };
    reads.last.at.set(0);
    let path = &exchange.path;
    let is_upstream = exchange.role.get() == Role::Client as u32;
    let glance = reads.look(now, path.from.get());
    if !is_upstream {
        // An answer, of the destination or of the proxy itself.
        if glance.own != 0 {
            reads.waiting(glance.own - 1).at.set(0);
        }
        return;
    }
    let is_first = path.is_new.get() != 0;
    let is_known = path.certainty() != Certainty::Unknown as u16;
    let is_bound = path.is_bound.get() != 0;
    if is_first && is_known && is_bound {
        // It was opened before this caller had sent anything, so now there is data of the caller.
        if glance.own != 0 {
            path.set_certainty(Certainty::Certain);
        } else if glance.number != 0 && !reads.is_blurred() {
            // Others have sent, and not that one, which the thread had accepted between the read and the connect.
            path.is_bound.set(0);
            path.take(reads.waiting(glance.oldest));
        }
    } else if is_first && is_known {
        // Taken when it was opened.
    } else if (is_first || begins) && !(is_known && is_bound) && glance.number != 0 {
        path.set_certainty(reads.certainty(glance));
        path.take(reads.waiting(glance.oldest));
    } else if begins && is_known && !is_bound {
        path.set_certainty(Certainty::Estimated);
    }
    if glance.own != 0 {
        reads.waiting(glance.own - 1).at.set(0);
    }
    if is_first {
        path.opened(reads);
    }
    if is_first || begins {
        let Some(counts) = path.counts() else { return };
        counts.turns.add(1);
        if is_first {
            counts.connections.add(1);
        }
    }
}

/// A connection that a point had opened has ended.
#[inline(always)]
pub(crate) fn ended(sk: Sock) {
    if let Some(exchange) = sk.exchange()
        && exchange.path.is_new.get() != 0
    {
        exchange.path.abandoned();
        if let Some(counts) = exchange.path.counts() {
            counts.connections.add(1);
        }
    }
}

/// The path of a connection that a point has opened.
#[inline(always)]
pub(crate) fn of(key: &FlowKey, sk: Sock) -> Option<&'static Path> {
    if key.role != Role::Client as u8 || !points::are_here() {
        return None;
    }
    sk.exchange().map(|exchange| &exchange.path)
}
