//! Every open socket of every namespace, once a tick: open connections are sampled, not guessed.

use super::{argument, output, write};
use crate::{
    atomic::{add, add32},
    flows::{account, account_listener, fold},
    maps::Socket,
    sock::{Sock, is_established, state},
};
use agent_common::{BUCKETS, ListenerSample, Role, bucket};
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
    let out = ListenerSample {
        cgroup: socket.key.cgroup,
        netns: socket.key.netns,
        port: socket.key.port,
        reserved: 0,
        queued: sk.backlog(),
        limit: sk.backlog_limit(),
    };
    let _ = write(output(ctx), &raw const out);
    0
}

#[inline(always)]
fn connection(sk: Sock, socket: &mut Socket) -> i32 {
    let Some(tcp) = sk.tcp() else { return 0 };
    let established = is_established(sk.state());
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
