//! Paths through a point: whose traffic an upstream connection carries. The thread that reads from one connection and then opens,
//! or writes to, another one ties the two; a connection that it has just accepted, or tried to read from, counts as read.
//!
//! A proxy for HTTP connects, or writes to a pooled connection, after it has read a request; a proxy for TCP may connect as soon as
//! it has accepted. Event loops postpone writes: then several connections were read from before the first write, and who is meant
//! is estimated, unless the upstream connection was opened for one of them.

use crate::{
    maps::record_at_once,
    path::Path,
    points::{self, Exchange, Task},
    reads::{Glance, Reads},
    sock::{Sock, Tcp},
};
use agent_common::{Caller, Certainty, FlowKey, Role};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};

/// The peer of a connection that a point has accepted.
#[inline(always)]
fn caller(sk: Sock, tcp: Tcp) -> Caller {
    Caller {
        address: sk.peer_address(),
        netns: sk.netns(),
        port: tcp.own_port(),
        reserved: 0,
    }
}

/// This thread of a point has accepted this connection, or tried to read from it. Before there was data, that ties the connection to
/// what the thread does next.
#[inline(always)]
pub(crate) fn touched(sk: Sock, task: &Task) -> Option<()> {
    if !sk.is_ip() || sk.backlog_limit() == 0 {
        return None;
    }
    let is_new = match sk.exchange() {
        Some(exchange) => exchange.turns.get() == 0,
        // Looked up only where the socket is not simply the thread's own.
        None => sk.cgroup() == task.cgroup.get() || sk.point().is_some(),
    };
    if is_new {
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        task.reads.last.set(now, sk, caller(sk, sk.tcp()?));
        task.reads.with_data.set(0);
    }
    Some(())
}

/// A thread of a point has read data from this connection.
#[inline(always)]
pub(crate) fn read(sk: Sock, tcp: Tcp, exchange: &Exchange, reads: &Reads, now: u64) {
    if exchange.role.get() != Role::Server as u32 {
        reads.last.at.set(0);
        return;
    }
    exchange.path.from.set(sk.as_ptr() as u64);
    let caller = caller(sk, tcp);
    reads.last.set(now, sk, caller);
    reads.with_data.set(1);
    reads.wait(now, sk, caller);
}

/// A thread opens a connection. Nothing is kept when it is not known to be a point's, or has nothing to forward.
#[inline(always)]
pub(crate) fn connecting(sk: Sock) -> Option<()> {
    let thread = bpf_get_current_pid_tgid() as u32;
    let task = points::task(thread)?;
    if sk.cgroup() != task.cgroup.get() && sk.point().is_none() {
        return None;
    }
    let reads = &task.reads;
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let last = &reads.last;
    let is_adjacent = last.at.get() != 0;
    last.at.set(0);
    let is_touched = is_adjacent && reads.with_data.get() == 0;
    let glance = match is_touched {
        true => Glance::NONE,
        false => reads.look(now, last.socket.get()),
    };
    if !is_touched && glance.number == 0 {
        // Of a socket that was disconnected and is used again.
        return sk.exchange().map(|exchange| exchange.path.begin(sk, true));
    }
    let path = &sk.exchange_or_new(now)?.path;
    path.begin(sk, true);
    if is_touched {
        path.set_certainty(Certainty::Estimated);
        path.carry(last);
        path.is_bound.set(1);
        return Some(());
    }
    if !is_adjacent {
        reads.in_batches.set(1);
    }
    let place = match is_adjacent && glance.own != 0 && reads.in_batches.get() == 0 {
        true => glance.own - 1,
        false => glance.oldest,
    };
    path.set_certainty(reads.certainty(glance));
    path.take(reads, place);
    path.open(reads, thread);
    Some(())
}

/// A thread of a point has written to a connection; `begins`: the other end was the last one to send.
#[inline(always)]
pub(crate) fn written(tcp: Tcp, exchange: &Exchange, reads: &Reads, now: u64, begins: bool) {
    reads.last.at.set(0);
    let path = &exchange.path;
    let is_upstream = exchange.role.get() == Role::Client as u32;
    let mut glance = reads.look(now, path.from.get());
    if !is_upstream {
        // An answer, of the destination or of the proxy itself.
        if glance.own != 0 {
            reads.done(glance.own - 1);
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
            path.take(reads, glance.oldest);
        }
    } else if is_first && is_known {
        // Taken when it was opened.
    } else if (is_first || begins) && !(is_known && is_bound) && glance.number != 0 {
        let certainty = reads.certainty(glance);
        if !path.is_of(reads.waiting(glance.oldest)) || path.certainty() != certainty as u16 {
            path.settle();
            path.set_certainty(certainty);
        }
        path.take(reads, glance.oldest);
        // What the caller before has sent meanwhile still waits.
        glance.own = 0;
    } else if begins && is_known && !is_bound && path.certainty() != Certainty::Estimated as u16 {
        path.settle();
        path.set_certainty(Certainty::Estimated);
    }
    if glance.own != 0 {
        reads.done(glance.own - 1);
    }
    if is_first {
        path.opened(reads);
    }
    if begins && !is_first && is_met(tcp) {
        path.turn();
    } else if is_first || begins {
        let Some(counts) = path.counts() else { return };
        counts.turns.add(1);
        if is_first {
            counts.connections.add(1);
        }
    }
}

/// Whether each walk over open files meets this connection of a point, while it is open.
#[inline(always)]
fn is_met(tcp: Tcp) -> bool {
    !record_at_once() && !tcp.is_multipath()
}

/// An attempt of a point to connect has failed, or a connection that it had opened has ended: without data, when it was new.
#[inline(always)]
pub(crate) fn abandoned(path: &Path) {
    if let Some(opener) = path.abandon()
        && let Some(task) = points::task(opener)
    {
        task.reads.one_less_opening();
    }
}

/// A connection that a point had opened has ended.
#[inline(always)]
pub(crate) fn ended(path: &Path) {
    path.settle();
    if path.is_new.get() != 0 {
        abandoned(path);
        if let Some(counts) = path.counts() {
            counts.connections.add(1);
        }
    }
}

/// The path of a connection, if a point has opened it.
#[inline(always)]
pub(crate) fn of(key: &FlowKey, sk: Sock) -> Option<&'static Path> {
    if key.role != Role::Client as u8 || !points::are_here() {
        return None;
    }
    points::counters(key.cgroup)?;
    sk.path()
}
