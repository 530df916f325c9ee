//! Gives every socket that a process has open a record: once for those from before the agent started, and at each tick
//! for those that were opened since and are still open.

use super::argument;
use crate::{
    maps::{Socket, record_at_once},
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
    if sk.record().is_some_and(|socket| socket.is_live()) {
        return Ok(());
    }
    let tcp = sk.tcp().ok_or(())?;
    // Before the life-cycle program has taken over, what has no record was open before.
    let before = record_at_once();
    let (role, flags) = match sk.state() {
        state::CLOSE | state::SYN_RECV => return Ok(()),
        state::LISTEN => (Role::Listener, 0),
        state::SYN_SENT => (Role::Client, 0),
        _ if before => (sk.role(), Socket::ADOPTED),
        _ => (sk.role(), 0),
    };
    let socket = sk.record_or_zero().ok_or(())?;
    if socket.flags & Socket::READY != 0 {
        return Ok(());
    }
    if before {
        // Counting begins now: what was sent before does not belong to it.
        (socket.sent, socket.received) = (tcp.sent(), tcp.received());
        (socket.retransmits, socket.drops) = (tcp.retransmits(), sk.drops());
    }
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let since = if sk.state() == state::SYN_SENT {
        tcp.first_syn_ns(now)
    } else {
        now
    };
    socket.begin(sk.key(tcp, role), since, flags);
    Ok(())
}
