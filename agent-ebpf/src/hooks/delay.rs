//! How long data waits inside a point: from its coming in to its being read, and from there to its being sent on. That is what
//! a shared proxy adds and cannot see, as its own clocks begin with the read.

use crate::{
    points::{self, Exchange, observe, side},
    sock::{Sock, state},
};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

/// `MSG_PEEK` (`include/linux/socket.h`): looked at, and not read.
const PEEK: i32 = 2;

/// `trace_sk_data_ready(const struct sock *sk)`, after data was put into the socket.
#[btf_tracepoint(function = "sk_data_ready")]
fn data_arrived(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        let _ = stamp(Sock(ctx.arg(0)));
    }
    0
}

#[inline(always)]
fn stamp(sk: Sock) -> Result<(), ()> {
    sk.point().ok_or(())?;
    // A listener says in this way that a connection waits.
    if sk.tcp().is_none() || sk.state() == state::LISTEN {
        return Ok(());
    }
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let exchange = sk.exchange_or_new(now).ok_or(())?;
    if exchange.arrived_ns == 0 {
        exchange.arrived_ns = now;
    }
    Ok(())
}

/// `trace_sock_recv_length(struct sock *sk, int ret, int flags)`: a process has read, or tried to.
#[btf_tracepoint(function = "sock_recv_length")]
fn data_read(ctx: BtfTracePointContext) -> i32 {
    let (bytes, flags): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    if points::are_here() && bytes > 0 && flags & PEEK == 0 {
        let _ = read(Sock(ctx.arg(0)), bytes as u32);
    }
    0
}

#[inline(always)]
fn read(sk: Sock, bytes: u32) -> Result<(), ()> {
    let counters = sk.point().ok_or(())?;
    let tcp = sk.tcp().ok_or(())?;
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let exchange = sk.exchange_or_new(now).ok_or(())?;
    exchange.carry(Exchange::IN, bytes);
    if exchange.arrived_ns != 0 {
        let side = side(exchange.role);
        let waited = now.saturating_sub(exchange.arrived_ns);
        // What is left, or came in while this was read, waits from now on: a lower bound.
        exchange.arrived_ns = if tcp.unread(sk) > 0 { now } else { 0 };
        observe(
            &mut counters.read_delay[side],
            &mut counters.read_delay_ns[side],
            waited,
        );
    }
    if let Some(task) = points::task(bpf_get_current_pid_tgid() as u32) {
        task.read_ns = now;
        task.read_from = sk.0 as u64;
    }
    Ok(())
}

/// `trace_sock_send_length(struct sock *sk, int ret, int flags)`: a process has written, or tried to.
#[btf_tracepoint(function = "sock_send_length")]
fn data_sent(ctx: BtfTracePointContext) -> i32 {
    let bytes: i32 = ctx.arg(1);
    if points::are_here() && bytes > 0 {
        let _ = written(Sock(ctx.arg(0)), bytes as u32);
    }
    0
}

#[inline(always)]
fn written(sk: Sock, bytes: u32) -> Result<(), ()> {
    let counters = sk.point().ok_or(())?;
    sk.tcp().ok_or(())?;
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let exchange = sk.exchange_or_new(now).ok_or(())?;
    exchange.carry(Exchange::OUT, bytes);
    let task = points::task(bpf_get_current_pid_tgid() as u32).ok_or(())?;
    if task.read_ns != 0 && task.read_from != sk.0 as u64 {
        let took = now.saturating_sub(task.read_ns);
        task.read_ns = 0;
        let side = side(exchange.role);
        observe(
            &mut counters.forward_delay[side],
            &mut counters.forward_delay_ns[side],
            took,
        );
    }
    Ok(())
}
