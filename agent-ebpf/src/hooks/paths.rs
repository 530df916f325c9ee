//! Connections that a point accepts, in the thread that accepts them: `accept` asks for the peer's name, and the hook for that runs.
//! The programs change nothing: they allow what was asked for.

use crate::{pairing, points, sock::Sock};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_skc_to_tcp_sock},
    macros::cgroup_sock_addr,
    programs::SockAddrContext,
};

/// The name is not changed.
const ALLOW: i32 = 1;

/// `inet_getname` for the peer of a socket, as called by `accept` with an address and by `getpeername`.
#[cgroup_sock_addr(getpeername4)]
fn peer_named4(ctx: SockAddrContext) -> i32 {
    let _ = named(&ctx);
    ALLOW
}

/// The same for IPv6 (`inet6_getname`).
#[cgroup_sock_addr(getpeername6)]
fn peer_named6(ctx: SockAddrContext) -> i32 {
    let _ = named(&ctx);
    ALLOW
}

#[inline(always)]
fn named(ctx: &SockAddrContext) -> Result<(), ()> {
    if !points::are_here() {
        return Ok(());
    }
    // First, as most threads are not a point's.
    let task = points::task(bpf_get_current_pid_tgid() as u32).ok_or(())?;
    // SAFETY: a field of the hook's own context, which the verifier knows.
    let socket = unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk };
    if socket.is_null() {
        return Err(());
    }
    // SAFETY: the helper returns NULL for what is not a TCP socket.
    let socket = unsafe { bpf_skc_to_tcp_sock(socket.cast()) };
    if socket.is_null() {
        return Err(());
    }
    // SAFETY: a TCP socket, which exists until the program ends, as it is the subject of a system call.
    pairing::touched(unsafe { Sock::new(socket.cast()) }, task).ok_or(())
}
