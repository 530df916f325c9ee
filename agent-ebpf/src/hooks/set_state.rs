//! The life cycle of every TCP socket.

use crate::{
    atomic::{add, exchange32},
    failures::fail,
    flows::{account_listener, flow, fold, no_record, touch},
    maps::{Socket, lost},
    outcome,
    sock::{Sock, state},
};
use agent_common::{Loss, Role};
use aya_ebpf::{EbpfContext, helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};

/// `trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state(ctx: BtfTracePointContext) -> i32 {
    let new: i32 = ctx.arg(2);
    let old: i32 = ctx.arg(1);
    // Half of all changes are steps of the closing handshake, of no interest here.
    if new != state::CLOSE && new != state::ESTABLISHED && new != state::SYN_SENT && new != state::LISTEN {
        if old != state::SYN_RECV {
            return 0;
        }
    }
    let _ = change(&ctx, Sock(ctx.arg(0)), old, new);
    0
}

#[inline(always)]
fn change(ctx: &BtfTracePointContext, sk: Sock, old: i32, new: i32) -> Result<(), ()> {
    if new == state::CLOSE {
        return match sk.record() {
            Some(socket) => close(sk, socket, old),
            // A child that never left SYN_RECV was never a connection.
            None if old != state::CLOSE && old != state::SYN_RECV && sk.is_tcp() => {
                lost(Loss::Unseen);
                Ok(())
            }
            None => Ok(()),
        };
    }
    if old == state::SYN_SENT && new == state::ESTABLISHED {
        let socket = sk.record().ok_or(())?;
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        // At least 1: 0 says that it is not known.
        socket.connect_us = ((now.saturating_sub(socket.opened_ns) / 1000) as u32).max(1);
        socket.flags |= Socket::ESTABLISHED;
        return Ok(());
    }
    if old == state::SYN_SENT {
        // Simultaneous open, on its way to ESTABLISHED through SYN_RECV.
        return Ok(());
    }
    open(ctx, sk, old, new)
}

/// A socket begins: to connect, to listen, or as an accepted connection.
#[inline(always)]
fn open(ctx: &BtfTracePointContext, sk: Sock, old: i32, new: i32) -> Result<(), ()> {
    if !sk.is_tcp() {
        return Ok(());
    }
    let role = match new {
        state::SYN_SENT => Role::Client,
        state::LISTEN => Role::Listener,
        _ => Role::Server,
    };
    let Some(socket) = sk.record_or_zero() else {
        no_record(ctx.as_ptr());
        return Err(());
    };
    if socket.flags & Socket::READY != 0 && socket.closed == 0 {
        // The end of a simultaneous open, or a socket that the adoption found first.
        if old == state::SYN_RECV {
            socket.flags |= Socket::ESTABLISHED;
        }
        return Ok(());
    }
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let flags = if matches!(role, Role::Server) {
        Socket::ESTABLISHED
    } else {
        0
    };
    socket.begin(sk.key(role), now, flags);
    Ok(())
}

/// The end of a connection, of an attempt at one, or of a listener.
#[inline(always)]
fn close(sk: Sock, socket: &mut Socket, old: i32) -> Result<(), ()> {
    // First: the sampler, seeing this, folds again or not at all (see `flows`).
    if exchange32(&mut socket.closed, 1) != 0 {
        return Ok(());
    }
    socket.closed_from = old as u32;
    if socket.key.role == Role::Listener as u8 {
        let flow = account_listener(socket, sk).ok_or(())?;
        add(&mut flow.closed, 1);
        touch(flow);
        return Ok(());
    }
    let tcp = sk.tcp().ok_or(())?;
    let flow = flow(&socket.key).ok_or(())?;
    fold(socket, tcp, flow);
    if socket.flags & Socket::ESTABLISHED == 0 {
        fail(socket, sk, tcp, flow, outcome::of_handshake(sk.error(), tcp.own_port()));
        return Ok(());
    }
    add(&mut flow.closed, 1);
    touch(flow);
    if let Some(reason) = outcome::of_connection(sk.error(), old, socket.flags) {
        fail(socket, sk, tcp, flow, reason);
    }
    Ok(())
}
