//! Every open socket of every namespace, once a tick: open connections are sampled, not guessed.

use super::{argument, output, write};
use crate::{
    atomic::{add, add32},
    flows::{account, account_listener, fold},
    maps::Socket,
    points::{self, side},
    sock::{Sock, Tcp, is_established, state},
};
use agent_common::{BUCKETS, Backlog, ListenerSample, Role, STATES, bucket};
use core::{ffi::c_void, ptr::read_volatile};

/// `struct bpf_iter__bpf_sk_storage_map { meta; map; struct sock *sk; void *value }`
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
#[unsafe(no_mangle)]
extern "C" fn sample(ctx: *mut c_void) -> i32 {
    let sk: *mut u8 = argument(ctx, 2);
    let value: *mut Socket = argument(ctx, 3);
    if sk.is_null() || value.is_null() {
        return 0;
    }
    // The iterator's own view of the record is not one that the atomic instructions accept: look it up again.
    let sk = Sock(sk);
    let Some(socket) = sk.record() else { return 0 };
    // A socket may have closed while its record was made: it was counted as one without.
    if !socket.is_live() || sk.state() == state::CLOSE {
        return 0;
    }
    if socket.key.role == Role::Listener as u8 {
        listener(ctx, sk, socket)
    } else {
        connection(sk, socket)
    }
}

#[inline(always)]
fn listener(ctx: *mut c_void, sk: Sock, socket: &mut Socket) -> i32 {
    let _ = account_listener(socket, sk);
    let (first_port, last_port) = sk.port_range();
    let out = ListenerSample {
        cgroup: socket.key.cgroup,
        netns: socket.key.netns,
        port: socket.key.port,
        first_port,
        queued: sk.backlog(),
        limit: sk.backlog_limit(),
        oldest_us: sk.oldest_waiting(),
        last_port,
        reserved: 0,
    };
    let _ = write(output(ctx), &raw const out);
    0
}

#[inline(always)]
fn connection(sk: Sock, socket: &mut Socket) -> i32 {
    let Some(tcp) = sk.tcp() else { return 0 };
    let established = is_established(sk.state());
    if points::are_here()
        && let Some(backlog) = points::backlog(socket.key.cgroup)
    {
        look(sk, tcp, socket, backlog);
    }
    let adopted_now = socket.flags & Socket::ADOPTED != 0 && socket.counted == 0;
    if !adopted_now
        && tcp.received() == socket.received
        && tcp.sent() == socket.sent
        && tcp.retransmits() == socket.retransmits
    {
        return 0;
    }
    let Some(flow) = account(socket, tcp, established) else {
        return 0;
    };
    let round_trip = tcp.round_trip();
    if established && round_trip != 0 {
        add32(&mut flow.round_trip[bucket(round_trip) % BUCKETS], 1);
        add(&mut flow.round_trip_us, u64::from(round_trip));
    }
    // SAFETY: a field of the record; volatile, as another processor may have written it since.
    if unsafe { read_volatile(&raw const socket.closed) } != 0 {
        fold(socket, tcp, established, flow);
    }
    0
}

/// Adds what waits at a socket of a point. One that has not moved since the last walk is stalled.
#[inline(always)]
fn look(sk: Sock, tcp: Tcp, socket: &mut Socket, backlog: &mut Backlog) {
    let side = side(u32::from(socket.key.role));
    let state = sk.state();
    backlog.states[side][state as usize & (STATES - 1)] += 1;
    if !is_established(state) {
        return;
    }
    let unread = tcp.unread(sk);
    let read_to = mark(unread, tcp.read_to());
    if unread > 0 {
        backlog.unread[side] += u64::from(unread);
        backlog.stalled_unread[side] += u32::from(read_to == socket.read_to);
    }
    socket.read_to = read_to;
    let closing = matches!(state, state::FIN_WAIT1 | state::CLOSING | state::LAST_ACK);
    let waiting = tcp.unacknowledged(closing);
    let acknowledged_to = mark(waiting, tcp.acknowledged_to());
    if waiting > 0 {
        backlog.unacknowledged[side] += u64::from(waiting);
        if tcp.window_is_closed() {
            backlog.stalled_zero_window[side] += 1;
        } else {
            backlog.stalled_unacknowledged[side] += u32::from(acknowledged_to == socket.acknowledged_to);
        }
    }
    socket.acknowledged_to = acknowledged_to;
}

/// How far it is while something waits; 0 while nothing does.
#[inline(always)]
const fn mark(waiting: u32, position: u32) -> u64 {
    if waiting > 0 { position as u64 + 1 } else { 0 }
}
