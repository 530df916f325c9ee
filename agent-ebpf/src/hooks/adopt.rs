//! Sockets that were open before the agent started.

use super::argument;
use crate::{
    maps::Socket,
    sock::{Sock, load, state},
};
use agent_common::{ABSENT, Role};
use aya_ebpf::helpers::{bpf_ktime_get_ns, generated::bpf_sock_from_file};
use core::ffi::c_void;

/// `struct bpf_iter__task_file { meta; struct task_struct *task; u32 fd; struct file *file }`: every file of every
/// task, so every socket that a process holds, some more than once.
#[unsafe(link_section = "iter/task_file")]
#[unsafe(no_mangle)]
extern "C" fn adopt(ctx: *mut c_void) -> i32 {
    let file: *mut c_void = argument(ctx, 3);
    if file.is_null() || crate::maps::offset!(socket_sk) == ABSENT {
        return 0;
    }
    // SAFETY: takes any file; NULL for what is no socket.
    let socket = unsafe { bpf_sock_from_file(file.cast()) } as *const u8;
    if socket.is_null() {
        return 0;
    }
    let sk: *const u8 = load!(socket, socket_sk);
    if !sk.is_null() {
        let _ = take(Sock(sk));
    }
    0
}

#[inline(always)]
fn take(sk: Sock) -> Result<(), ()> {
    let tcp = sk.tcp().ok_or(())?;
    let (role, flags) = match sk.state() {
        state::CLOSE => return Ok(()),
        state::LISTEN => (Role::Listener, 0),
        state::SYN_SENT => (Role::Client, 0),
        // What came out of an accept queue has inherited the queue's bound. (A listener with a backlog of 0 passes on
        // no sign of itself: its open connections are taken for outgoing ones. Only here, at the start.)
        _ if sk.backlog_limit() > 0 => (Role::Server, Socket::ESTABLISHED | Socket::ADOPTED),
        _ => (Role::Client, Socket::ESTABLISHED | Socket::ADOPTED),
    };
    let socket = sk.record_or_zero().ok_or(())?;
    if socket.flags & Socket::READY != 0 {
        // The life-cycle program saw it open.
        return Ok(());
    }
    // Counting begins now: what was sent before does not belong to it.
    (socket.sent, socket.received) = (tcp.sent(), tcp.received());
    (socket.retransmits, socket.drops) = (tcp.retransmits(), sk.drops());
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    socket.begin(sk.key(role), now, flags);
    Ok(())
}
