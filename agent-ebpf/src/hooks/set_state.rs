//! The life cycle of every TCP socket.

use crate::{
    ending::{self, Ending},
    failures::{Failed, fail},
    flows::{account_listener, count_opened, flow, fold, fold_all, no_record},
    ledger::{self, Change, Found},
    lifetimes,
    maps::{Flow, control, is_counting, is_on_duty, record_at_once, stop_when_orphaned},
    outcome::Outcome,
    pairing,
    path::Path,
    points,
    record::Socket,
    sock::{Sock, Tcp},
    state::{self, States},
    verifier::unknown,
};
use agent_common::{Control, FlowKey, Role};
use aya_ebpf::{EbpfContext, helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};

/// `trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`; `sk->sk_state` is still
/// the old one.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state(ctx: BtfTracePointContext) -> i32 {
    if is_on_duty() {
        // SAFETY: the hook's own argument.
        let sk = unsafe { Sock::new(ctx.arg(0)) };
        let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
        handle(&ctx, sk, old, new);
        // Also changes that are ignored: otherwise the twin could not know whether the kernel skipped the run for one of them.
        ledger::note(Change::new(sk, old, new));
    }
    0
}

/// The same tracepoint, right after `set_state`: handles changes without a note, because the kernel skipped the run of `set_state`
/// or because that program does not count (see `ledger`). So this program counts as soon as it is attached.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state_twin(ctx: BtfTracePointContext) -> i32 {
    if !is_counting() {
        return 0;
    }
    // SAFETY: the hook's own argument.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    let change = Change::new(sk, old, new);
    match ledger::take_back(change) {
        Found::Handled(handled) => handled.forget(),
        Found::Left => {}
        Found::Missed => {
            handle(&ctx, sk, old, new);
            if control(Control::HandsOver) {
                ledger::note(change);
            }
        }
    }
    0
}

/// One connection in this many checks whether an agent still runs; a power of two.
const ASKED: u32 = 64;

#[inline(always)]
fn handle(ctx: &BtfTracePointContext, sk: Sock, old: i32, new: i32) {
    // Half of all changes are steps of the closing handshake, which are ignored.
    let _ = match new {
        state::CLOSE => close(sk, old),
        state::ESTABLISHED => established(ctx, sk, old),
        state::SYN_SENT => connecting(ctx, sk),
        state::LISTEN => listening(ctx, sk),
        // A child that leaves SYN_RECV for a closing state before its handshake is complete (TCP Fast Open).
        _ if old == state::SYN_RECV => established(ctx, sk, old),
        _ => Ok(()),
    };
}

/// Fills in a record for `sk`; `retransmits` of its retransmissions are counted already.
#[inline(always)]
fn record(
    ctx: &BtfTracePointContext,
    socket: Option<&'static Socket>,
    key: FlowKey,
    retransmits: u32,
) -> Result<(), ()> {
    let Some(socket) = socket else {
        no_record(ctx.as_ptr());
        return Err(());
    };
    // Before a walk may read it. (A reused socket has none.)
    socket.retransmits.set(retransmits);
    // SAFETY: no arguments.
    socket.begin(key, unsafe { bpf_ktime_get_ns() }, 0);
    Ok(())
}

/// A socket begins to connect. Its role follows from the socket, unless it listened before; and an existing record may
/// belong to an earlier use of the socket.
#[inline(always)]
fn connecting(ctx: &BtfTracePointContext, sk: Sock) -> Result<(), ()> {
    if sk.backlog_limit() > 0 || sk.record().is_some_and(|socket| socket.closed.get() != 0) {
        let key = sk.key(sk.tcp().ok_or(())?, Role::Client);
        record(ctx, sk.record_or_zero(), key, 0)?;
    }
    // Last: before, most sockets have no storage that would have to be searched.
    if points::are_here() {
        let _ = pairing::connecting(sk);
    }
    Ok(())
}

#[inline(always)]
fn listening(ctx: &BtfTracePointContext, sk: Sock) -> Result<(), ()> {
    let key = sk.key(sk.tcp().ok_or(())?, Role::Listener);
    record(ctx, sk.record_or_zero(), key, 0)
}

/// A handshake is complete, at either end.
#[inline(always)]
fn established(ctx: &BtfTracePointContext, sk: Sock, old: i32) -> Result<(), ()> {
    if old == state::SYN_SENT || old == state::SYN_RECV {
        let tcp = sk.tcp().ok_or(())?;
        let socket = sk.record().filter(|socket| socket.is_live());
        // Connections from SYN_RECV are those of a listener, and the rare simultaneous open of two clients.
        let role = match socket {
            _ if old == state::SYN_SENT => Role::Client,
            Some(socket) if socket.role() == Role::Client as u8 => Role::Client,
            _ => Role::Server,
        };
        let key = sk.key(tcp, role);
        let flow = flow(&key).ok_or(())?;
        let handshake = if old == state::SYN_SENT {
            handshake_us(socket, tcp)
        } else {
            0
        };
        if points::are_here() {
            match role {
                Role::Client => points::called(&key, sk, tcp),
                _ => points::answered(&key, sk, flow),
            }
        }
        count_opened(flow, handshake);
        if socket.is_some() {
            return Ok(());
        }
        // The retransmission counter of a server's socket starts with those of its SYN-ACK (`tcp_create_openreq_child`), which are
        // counted.
        let repeated = if matches!(role, Role::Server) {
            tcp.retransmits()
        } else {
            0
        };
        let untold = matches!(role, Role::Server) && sk.backlog_limit() == 0;
        if untold || repeated != 0 {
            return record(ctx, sk.record_or_zero(), key, repeated);
        }
        if record_at_once()
            && let Some(socket) = sk.record_within_bound()
        {
            return record(ctx, Some(socket), key, 0);
        }
    }
    Ok(())
}

/// The duration of a client's handshake, in microseconds; 0 when it is not known. Without retransmission it is the first
/// round-trip time; with one, there is a record with the time of the first SYN.
#[inline(always)]
fn handshake_us(socket: Option<&Socket>, tcp: Tcp) -> u32 {
    if tcp.retransmits() == 0 {
        // At least 1, as 0 means unknown.
        return tcp.round_trip().max(1);
    }
    match socket {
        Some(socket) if socket.since_ns.get() != 0 => {
            // SAFETY: no arguments.
            let now = unsafe { bpf_ktime_get_ns() };
            (now.saturating_sub(socket.since_ns.get()) / 1000) as u32
        }
        _ => 0,
    }
}

/// The end of a connection, of a connection attempt, or of a listener.
#[inline(always)]
fn close(sk: Sock, old: i32) -> Result<(), ()> {
    // Reading the time costs more than all other work here; checking at one connection in many is enough.
    if sk.number().is_multiple_of(ASKED) {
        stop_when_orphaned();
    }
    let from = States::only(old);
    // A record that is just being created, on another CPU or by the interrupted code, has no flow yet: the socket is
    // counted as one without a record, and walks ignore the record.
    let socket = sk.record().filter(|socket| socket.is_ready());
    match socket {
        // Before anything is folded: a walk that sees this folds again, or not at all (see `flows`).
        Some(socket) if !socket.end() => return Ok(()),
        Some(socket) if socket.role() == Role::Listener as u8 => {
            account_listener(socket, sk).ok_or(())?.closed.add(1);
            return Ok(());
        }
        Some(_) => {}
        // A child that is closed in SYN_RECV was never a connection.
        None if from.are_in(States::NO_CONNECTION) => return Ok(()),
        None => {}
    }
    let tcp = sk.tcp().ok_or(())?;
    let key = socket.map_or_else(|| sk.key(tcp, sk.role()), |socket| socket.key.get());
    let flow = flow(&key).ok_or(())?;
    let ending = Ending {
        sk,
        tcp,
        cgroup: key.cgroup,
        role: key.role,
        from,
        flags: socket.map_or_else(|| unknown(0), |socket| socket.flags.get()),
        since_ns: socket.map_or_else(|| u64::from(unknown(0)), |socket| socket.since_ns.get()),
    };
    match socket {
        Some(socket) => fold(socket, tcp, ending.is_connection(), flow),
        None => fold_all(ending.is_connection(), tcp, flow),
    }
    let (outcome, path) = ended(&ending, flow);
    if outcome == Outcome::CLEAN {
        return Ok(());
    }
    let failed = Failed {
        sk,
        tcp,
        since_ns: ending.since_ns,
        outcome,
        path,
    };
    fail(&failed, &key, flow);
    // Looked up again, as the verifier would follow all that is between with a record and without one.
    match sk
        .record()
        .filter(|socket| socket.is_ready() && socket.closed.get() != 0)
    {
        Some(socket) => socket.outcome.set(outcome),
        None if ending::more_may_come(sk, from, outcome) => {
            // The `reset` program decides; it needs to know how this end was counted.
            let socket = sk.record_or_zero().ok_or(())?;
            socket.key.set(key);
            socket.closed.set(1);
            socket.outcome.set(outcome);
            socket.flags.or(Socket::READY);
        }
        None => {}
    }
    Ok(())
}

/// Counts the end of a connection or of an attempt, and returns how it ended and its path, if a point had opened it.
#[inline(always)]
fn ended(ending: &Ending, flow: &Flow) -> (Outcome, Option<&'static Path>) {
    let Ending { sk, tcp, .. } = *ending;
    let point = if points::are_here() {
        points::counters(ending.cgroup)
    } else {
        None
    };
    let outcome = if ending.is_connection() {
        flow.closed.add(1);
        let exchange = point.and_then(|_| sk.exchange());
        if let Some(counters) = point {
            lifetimes::ended(ending, counters, exchange);
        }
        ending::of_connection(ending, exchange)
    } else {
        ending::of_handshake(sk.error(), tcp.own_port())
    };
    // Last, as it may make an exchange.
    let path = match point {
        Some(_) if ending.role == Role::Client as u8 => sk.path(),
        _ => None,
    };
    if let Some(path) = path {
        match ending.is_connection() {
            true => pairing::ended(path),
            false => pairing::abandoned(path),
        }
    }
    (outcome, path)
}
