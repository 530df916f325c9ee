//! How long data waits inside a point: from its arrival to the read (read delay), and from the read to the write that forwards it
//! (forward delay). A proxy adds the first to every request and cannot measure it, as its own clocks start at the read.

use crate::{
    pairing,
    points::{self, Exchange, observe, side},
    sock::Sock,
    state,
};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

/// `MSG_PEEK` (`include/linux/socket.h`): the data stays in the receive queue.
const PEEK: i32 = 2;

/// `trace_sk_data_ready(const struct sock *sk)`, after data was put into the socket.
#[btf_tracepoint(function = "sk_data_ready")]
fn data_arrived(ctx: BtfTracePointContext) -> i32 {
    if points::are_here() {
        // SAFETY: the hook's own argument.
        let _ = stamp(unsafe { Sock::new(ctx.arg(0)) });
    }
    0
}

#[inline(always)]
fn stamp(sk: Sock) -> Result<(), ()> {
    sk.point().ok_or(())?;
    // For a listener the hook means that a connection waits.
    let tcp = sk.tcp().ok_or(())?;
    if sk.state() == state::LISTEN {
        return Ok(());
    }
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let exchange = sk.exchange_or_new(now).ok_or(())?;
    // Data of the last stamp may have been read by `splice`, which no hook reports (`tcp_splice_read`).
    let read_unseen = || tcp.read_to().wrapping_sub(exchange.arrived_to.get()).cast_signed() >= 0;
    if exchange.arrived_ns.get() == 0 || read_unseen() {
        exchange.arrived_ns.set(now);
        exchange.arrived_to.set(tcp.received_to());
    }
    Ok(())
}

/// `trace_sock_recv_length(struct sock *sk, int ret, int flags)`: a process has read, or tried to.
#[btf_tracepoint(function = "sock_recv_length")]
fn data_read(ctx: BtfTracePointContext) -> i32 {
    let (bytes, flags): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    if points::are_here() {
        // SAFETY: the hook's own argument.
        let sk = unsafe { Sock::new(ctx.arg(0)) };
        if bytes > 0 && flags & PEEK == 0 {
            let _ = read(sk, bytes as u32);
        } else if let Some(task) = points::task(bpf_get_current_pid_tgid() as u32) {
            // A read that leaves the data where it is, or finds none.
            let _ = pairing::touched(sk, task);
        }
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
    let arrived = exchange.arrived_ns.get();
    if arrived != 0 {
        let side = side(exchange.role.get());
        // The delay of what is left, or arrived during this read, is measured from now on: a lower bound.
        let left = tcp.unread(sk) > 0;
        exchange.arrived_ns.set(if left { now } else { 0 });
        exchange.arrived_to.set(tcp.received_to());
        observe(
            &counters.delays.read[side],
            &counters.delays.read_ns[side],
            now.saturating_sub(arrived),
        );
    }
    let thread = bpf_get_current_pid_tgid() as u32;
    if let Some(task) = points::task(thread) {
        exchange.reader.set(thread);
        task.read_from.set(sk.as_ptr() as u64);
        task.read_ns.set(now);
        pairing::read(sk, tcp, exchange, &task.reads, now);
    }
    Ok(())
}

/// `trace_sock_send_length(struct sock *sk, int ret, int flags)`: a process has written, or tried to.
#[btf_tracepoint(function = "sock_send_length")]
fn data_sent(ctx: BtfTracePointContext) -> i32 {
    let bytes: i32 = ctx.arg(1);
    if points::are_here() && bytes > 0 {
        // SAFETY: the hook's own argument.
        let _ = written(unsafe { Sock::new(ctx.arg(0)) }, bytes as u32);
    }
    0
}

#[inline(always)]
fn written(sk: Sock, bytes: u32) -> Result<(), ()> {
    let counters = sk.point().ok_or(())?;
    let tcp = sk.tcp().ok_or(())?;
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let exchange = sk.exchange_or_new(now).ok_or(())?;
    let begins = exchange.carry(Exchange::OUT, bytes);
    let thread = bpf_get_current_pid_tgid() as u32;
    let task = points::task(thread).ok_or(())?;
    pairing::written(tcp, exchange, &task.reads, now, begins);
    let read_ns = task.read_ns.get();
    if read_ns != 0 && task.read_from.get() != sk.as_ptr() as u64 {
        task.read_ns.set(0);
        let side = side(exchange.role.get());
        observe(
            &counters.delays.forward[side],
            &counters.delays.forward_ns[side],
            now.saturating_sub(read_ns),
        );
    }
    Ok(())
}
