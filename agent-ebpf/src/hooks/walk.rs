//! Visits every socket that a process has open, once per tick: samples open connections, and adopts those from before the
//! agent's start.

use crate::{
    flows::{account, account_listener, flow, fold},
    lifetimes,
    maps::{control, offset, record_at_once, walk_met_one, walk_number},
    points::{self, side},
    record::Socket,
    sock::{Sock, Tcp, load},
    state::{self, is_established},
    task::Thread,
};
use agent_common::{ABSENT, BUCKETS, Control, ListenerSample, Role, STATES, bucket, one_more_seen};
use aya_ebpf::{
    bindings::seq_file,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_seq_write, bpf_sock_from_file},
    },
};
use core::ffi::c_void;

use crate::points::Backlog;

/// `struct bpf_iter__task_file { meta; struct task_struct *task; u32 fd; struct file *file }`
#[repr(C)]
struct Context {
    meta: *const Meta,
    task: *const u8,
    fd: u64,
    file: *mut c_void,
}

/// The beginning of `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
}

/// Runs for every open file of the processes that the agent asks for, and so for each of their sockets; more than once for a socket
/// that several of them have open.
#[unsafe(link_section = "iter/task_file")]
#[unsafe(no_mangle)]
extern "C" fn walk(ctx: *const Context) -> i32 {
    // SAFETY: the kernel passes this structure; the verifier checks its size.
    let file = unsafe { (*ctx).file };
    if file.is_null() || offset!(socket_sk) == ABSENT {
        return 0;
    }
    // SAFETY: the helper takes any file, and returns NULL if it is not a socket.
    let socket = unsafe { bpf_sock_from_file(file.cast()) } as *const u8;
    if socket.is_null() {
        return 0;
    }
    let sk: *const u8 = load!(socket, socket_sk);
    if !sk.is_null() {
        // SAFETY: a field of a socket to which the iterator holds a reference.
        let _ = visit(ctx, unsafe { Sock::new(sk) });
    }
    0
}

#[inline(always)]
fn visit(ctx: *const Context, sk: Sock) -> Result<(), ()> {
    if sk.state() == state::CLOSE {
        return closed(sk);
    }
    let (socket, is_new) = match sk.record().filter(|socket| socket.is_live()) {
        Some(socket) => (socket, false),
        None => (register(sk).ok_or(())?, true),
    };
    let number = walk_number();
    // Visited before in this walk: another process has it open, too.
    let process = process(ctx);
    if socket.walk.exchange(number) == number {
        if socket.role() == Role::Listener as u8 && sk.state() == state::LISTEN && is_a_points(socket) {
            report(ctx, sk, socket, (process, true));
        }
        return Ok(());
    }
    if !socket.is_live() || sk.state() == state::CLOSE {
        return Ok(());
    }
    walk_met_one();
    if socket.role() == Role::Listener as u8 {
        let _ = account_listener(socket, sk);
        if !report(ctx, sk, socket, (process, false)) {
            // The kernel runs the program for the same file again, which must not treat the socket as visited.
            socket.walk.set(0);
        }
        return Ok(());
    }
    let tcp = sk.tcp().ok_or(())?;
    if points::are_here()
        && let Some(backlog) = points::backlog(socket.key.get().cgroup)
    {
        inspect(sk, tcp, socket, (number, process), backlog);
    }
    // Its connection may have been closing while its record was created, and was then counted as one without a record: its state,
    // which changes after that, shows it at the next walk. Sockets that are adopted at the start are counted now.
    if is_new && !socket.has(Socket::ADOPTED) {
        return Ok(());
    }
    connection(sk, tcp, socket, number)
}

/// A socket that has never been connected, or that is closed for the kernel and not for its process.
#[inline(always)]
fn closed(sk: Sock) -> Result<(), ()> {
    let socket = sk.record().filter(|socket| socket.is_ready()).ok_or(())?;
    let number = walk_number();
    if socket.closed.get() != 0
        && socket.role() != Role::Listener as u8
        && socket.walk.exchange(number) != number
        && points::are_here()
        && let Some(backlog) = points::backlog(socket.key.get().cgroup)
    {
        lifetimes::met_closed(socket, backlog);
    }
    Ok(())
}

/// Creates the record of a socket.
#[inline(always)]
fn register(sk: Sock) -> Option<&'static Socket> {
    let tcp = sk.tcp()?;
    // A socket without a record, when the life-cycle program has just been attached, was open before.
    let before = !control(Control::OpenSocketsAreAdopted);
    let (role, flags) = match sk.state() {
        state::CLOSE | state::SYN_RECV => return None,
        state::LISTEN => (Role::Listener, 0),
        state::SYN_SENT => (Role::Client, 0),
        _ if before => (sk.role(), Socket::ADOPTED),
        // Where every new connection gets a record, a socket without one exceeded the limit.
        _ if record_at_once() => return None,
        _ => (sk.role(), 0),
    };
    let socket = sk.record_within_bound()?;
    if socket.is_ready() {
        return None;
    }
    if before {
        // Counting starts now: bytes that were sent before are left out.
        socket.sent.set(tcp.sent());
        socket.received.set(tcp.received());
        socket.retransmits.set(tcp.retransmits());
        socket.drops.set(sk.drops());
    }
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let since = if sk.state() == state::SYN_SENT {
        tcp.first_syn_ns(now)
    } else {
        now
    };
    socket.begin(sk.key(tcp, role), since, flags);
    Some(socket)
}

/// The process whose files are walked over; 0 where the kernel's types do not tell.
#[inline(always)]
fn process(ctx: *const Context) -> u32 {
    // SAFETY: the kernel passes this structure; the verifier checks its size.
    let task = unsafe { (*ctx).task };
    if task.is_null() || offset!(task_tgid) == ABSENT {
        return 0;
    }
    // SAFETY: the kernel holds a reference to the task while the program runs.
    unsafe { Thread::new(task) }.process()
}

#[inline(always)]
fn is_a_points(socket: &Socket) -> bool {
    points::are_here() && points::backlog(socket.key.get().cgroup).is_some()
}

/// Reports a listening socket; `false` when the buffer is full, and the kernel flushes it.
#[inline(always)]
fn report(ctx: *const Context, sk: Sock, socket: &Socket, (process, again): (u32, bool)) -> bool {
    let (first_port, last_port) = sk.port_range();
    let key = socket.key.get();
    let sample = ListenerSample {
        cgroup: key.cgroup,
        netns: key.netns,
        port: key.port,
        first_port,
        queued: sk.backlog(),
        limit: sk.backlog_limit(),
        oldest_us: sk.oldest_waiting(),
        last_port,
        reserved: 0,
        process,
        again: again as u32,
    };
    // SAFETY: the kernel passes both pointers, and `sample` has the given size.
    let written = unsafe {
        bpf_seq_write(
            (*(*ctx).meta).seq,
            (&raw const sample).cast_mut().cast(),
            size_of::<ListenerSample>() as u32,
        )
    };
    written == 0
}

#[inline(always)]
fn connection(sk: Sock, tcp: Tcp, socket: &Socket, number: u32) -> Result<(), ()> {
    let established = is_established(sk.state());
    if established && control(Control::OpenSocketsAreCounted) {
        let flow = flow(&socket.key.get()).ok_or(())?;
        flow.seen.set(one_more_seen(flow.seen.get(), number));
    }
    let adopted_now = socket.has(Socket::ADOPTED) && socket.counted.get() == 0;
    if !adopted_now
        && tcp.received() == socket.received.get()
        && tcp.sent() == socket.sent.get()
        && tcp.retransmits() == socket.retransmits.get()
    {
        return Ok(());
    }
    let flow = account(socket, tcp, established).ok_or(())?;
    let round_trip = tcp.round_trip();
    if established && round_trip != 0 {
        flow.round_trip[bucket(round_trip) % BUCKETS].add(1);
        flow.round_trip_us.add(u64::from(round_trip));
    }
    // The connection may have ended since.
    if socket.closed.get() != 0 {
        fold(socket, tcp, established, flow);
    }
    Ok(())
}

/// Adds the waiting bytes and the age of a point's socket. A connection without progress since the last walk is stalled.
#[inline(always)]
fn inspect(sk: Sock, tcp: Tcp, socket: &Socket, visit: (u32, u32), backlog: &Backlog) {
    let side = side(u32::from(socket.role()));
    let state = sk.state();
    backlog.states[side][state as usize & (STATES - 1)].add(1);
    if !is_established(state) {
        return;
    }
    let unread = tcp.unread(sk);
    let read_to = mark(unread, tcp.read_to());
    if unread > 0 {
        backlog.unread[side].add(u64::from(unread));
        backlog.stalled_unread[side].add(u32::from(read_to == socket.read_to.get()));
    }
    socket.read_to.set(read_to);
    let closing = matches!(state, state::FIN_WAIT1 | state::CLOSING | state::LAST_ACK);
    let waiting = tcp.unacknowledged(closing);
    let acknowledged_to = mark(waiting, tcp.acknowledged_to());
    if waiting > 0 {
        backlog.unacknowledged[side].add(u64::from(waiting));
        if tcp.window_is_closed() {
            backlog.stalled_zero_window[side].add(1);
        } else {
            backlog.stalled_unacknowledged[side].add(u32::from(acknowledged_to == socket.acknowledged_to.get()));
        }
    }
    socket.acknowledged_to.set(acknowledged_to);
    lifetimes::met(sk, socket, visit, backlog);
}

/// 1 + the sequence number that was reached, while bytes wait; 0 while none do.
#[inline(always)]
const fn mark(waiting: u32, position: u32) -> u64 {
    if waiting > 0 { position as u64 + 1 } else { 0 }
}
