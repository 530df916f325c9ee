//! Decides how a connection ended; comments name the kernel code that the decisions rely on.

use crate::{
    maps::{control, resets_are_seen},
    outcome::Outcome,
    points::Exchange,
    record::Socket,
    sock::{Sock, Tcp},
    state::States,
};
use agent_common::{Control, EARLY_NS, Reason, Role};
use aya_ebpf::helpers::bpf_ktime_get_ns;

const EPIPE: i32 = 32;
const ENETDOWN: i32 = 100;
const ENETUNREACH: i32 = 101;
const ECONNABORTED: i32 = 103;
const ECONNRESET: i32 = 104;
const ETIMEDOUT: i32 = 110;
const ECONNREFUSED: i32 = 111;
const EHOSTDOWN: i32 = 112;
const EHOSTUNREACH: i32 = 113;
const ENOPROTOOPT: i32 = 92;

const fn unreachable(error: i32) -> bool {
    matches!(error, EHOSTUNREACH | ENETUNREACH | EHOSTDOWN | ENETDOWN | ENOPROTOOPT)
}

/// How a handshake of a client failed. `sk_err` is set before the state changes to CLOSE
/// (`tcp_reset`, `tcp_write_err`, `tcp_v4_err`); it is 0 when the caller closed the socket or `connect` itself failed.
#[inline(always)]
pub(crate) fn of_handshake(error: i32, own_port: u16) -> Outcome {
    Outcome::of(Some(match error {
        // Any error but a time-out or an ICMP error comes from a segment that was not a SYN-ACK.
        ETIMEDOUT => Reason::HandshakeTimedOut,
        ECONNREFUSED | ECONNRESET | EPIPE => Reason::Refused,
        // `inet_hash_connect` found no free port: the socket never got a port number.
        0 if own_port == 0 => Reason::NoLocalPort,
        0 | ECONNABORTED => Reason::Cancelled,
        _ => Reason::Unreachable,
    }))
}

/// A connection, or an attempt, that ends.
#[derive(Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) sk: Sock,
    pub(crate) tcp: Tcp,
    /// The cgroup that owns the socket.
    pub(crate) cgroup: u64,
    /// The role of this end: a [`Role`].
    pub(crate) role: u8,
    /// The TCP state before.
    pub(crate) from: States,
    /// Flags of its record; 0 without one.
    pub(crate) flags: u32,
    /// When its record was created, in nanoseconds of `CLOCK_MONOTONIC`; 0 when the connection began and ended between two ticks.
    pub(crate) since_ns: u64,
}

impl Ending {
    /// Whether its handshake was complete: else it was an attempt.
    #[inline(always)]
    pub(crate) const fn is_connection(&self) -> bool {
        !self.from.are_in(States::HANDSHAKES)
    }
}

/// How an established connection ended. `exchange`: that of a point's connection.
#[inline(always)]
pub(crate) fn of_connection(ending: &Ending, exchange: Option<&Exchange>) -> Outcome {
    Outcome::of(why(ending, exchange))
}

/// Why an established connection failed; `None` when it ended normally.
#[inline(always)]
fn why(ending: &Ending, exchange: Option<&Exchange>) -> Option<Reason> {
    // Where the kernel does not report reads and writes it says nothing.
    let exchange = exchange.filter(|_| control(Control::ExchangesAreSeen));
    let Ending { sk, from, flags, .. } = *ending;
    // Whatever ended it, no process has accepted it. Only connections from an accept queue can be so; for Multipath TCP this is not
    // known.
    if ending.role == Role::Server as u8 && sk.was_never_accepted() && !ending.tcp.is_multipath() {
        return Some(Reason::NeverAccepted);
    }
    let error = sk.error();
    // A keep-alive or retransmission time-out may also send a reset: the time-out is the cause.
    if error == ETIMEDOUT {
        return Some(Reason::EstablishedTimedOut);
    }
    if unreachable(error) {
        return Some(Reason::Unreachable);
    }
    // Before resets: a proxy that rejects a TLS handshake closes its socket, and whether bytes are unread then, which causes a
    // reset, is a matter of timing.
    let early = is_early(ending, exchange);
    if early && exchange.is_some_and(|exchange| refused(ending, exchange)) {
        return Some(Reason::ClosedEarly);
    }
    // Set by `tcp_reset` when a reset is received (for an exception see `more_may_come`). A reset in the states in which both ends
    // have sent their FIN ends a connection that was already over.
    if matches!(error, ECONNRESET | EPIPE) && !from.are_in(States::BOTH_SENT_FIN) {
        return Some(Reason::ResetByPeer);
    }
    // `tcp_abort` sets ECONNABORTED.
    if flags & Socket::RESET_SENT != 0
        || error == ECONNABORTED
        || (error == 0 && !resets_are_seen() && aborted(sk, from))
    {
        return Some(Reason::ResetBySelf);
    }
    (early && unanswered(ending)).then_some(Reason::ClosedEarly)
}

/// Whether it ends within [`EARLY_NS`] of its beginning; so does a connection without a record, as it lived between two ticks.
#[inline(always)]
fn is_early(ending: &Ending, exchange: Option<&Exchange>) -> bool {
    let since = match exchange {
        Some(exchange) => exchange.since_ns.get(),
        None => ending.since_ns,
    };
    // SAFETY: no arguments.
    since == 0 || unsafe { bpf_ktime_get_ns() }.saturating_sub(since) <= EARLY_NS
}

/// Whether the called side has ended it without sending a single byte. (Port probes are ended by the caller.)
#[inline(always)]
fn unanswered(ending: &Ending) -> bool {
    if ending.role == Role::Server as u8 {
        ending.from.are_in(States::SENT_FIN_FIRST) && ending.tcp.sent() == 0
    } else {
        ending.from.are_in(States::SENT_FIN_LAST) && ending.tcp.received() == 0
    }
}

/// Whether the flights of a point's connection are those of a failed TLS handshake. Without decryption, the only difference from
/// a successful one is that the last flight is an alert, with nothing after it.
///
/// The handshake's first two flights are longer than [`HELLO`]. Then one side sends an alert instead of the next flight:
/// the client, when it does not trust the server, or the server, after it has received the client's certificate. The bytes that
/// were read are not sufficient: an alert may stay unread, and so may a request that was sent early. A connection that ended after
/// a successful handshake, without a request, may look the same.
#[inline(always)]
fn refused(ending: &Ending, exchange: &Exchange) -> bool {
    const HELLO: u32 = 96;
    let (sent, received) = (ending.tcp.sent(), ending.tcp.received());
    let (first, second) = (exchange.flights[0].get(), exchange.flights[1].get());
    let turns = exchange.turns.get();
    let server = ending.role == Role::Server as u8;
    // Plain text on a TLS port: read, and either not answered, or answered with an alert.
    if server && ending.from.are_in(States::SENT_FIN_FIRST) && turns > 0 && received > 0 && (sent == 0 || sent == 7) {
        return true;
    }
    let first_speaker = if turns & 1 == 1 {
        exchange.direction.get()
    } else {
        exchange.direction.get() ^ (Exchange::IN | Exchange::OUT)
    };
    let client_speaks_first = (first_speaker == Exchange::IN) == server;
    if !client_speaks_first || !(2..=4).contains(&turns) || first < HELLO || second < HELLO {
        return false;
    }
    // Bytes after the first two flights.
    let (by_client, by_server) = if server { (received, sent) } else { (sent, received) };
    let (by_client, by_server) = (
        by_client.wrapping_sub(u64::from(first)),
        by_server.wrapping_sub(u64::from(second)),
    );
    is_alert(by_server) || (by_server == 0 && is_alert(by_client))
}

/// Whether a TLS alert has this many bytes on the wire: 5 and 2 in plain text; with TLS 1.2's AES-GCM 8 + 16 more, with
/// ChaCha20 16 more; with TLS 1.3 17 more, and 6 for a change_cipher_spec record (compatibility mode) before it.
#[inline(always)]
const fn is_alert(bytes: u64) -> bool {
    matches!(bytes, 7 | 23 | 24 | 30 | 31)
}

/// Whether a socket that closes without an error sends a reset: `close` with unread data or with a linger time of
/// 0, and `tcp_disconnect`, change the state to CLOSE directly and send the reset after that. (The `reset` program sees these and
/// others: when data arrives with the ACK of our FIN after `close`, it looks like a clean end here.)
///
/// Otherwise CLOSE follows LAST_ACK or CLOSING, or FIN_WAIT2 when TIME_WAIT begins: then the peer's FIN was
/// received, or the process had closed the socket before.
#[inline(always)]
fn aborted(sk: Sock, from: States) -> bool {
    from.are_in(States::SENT_NO_FIN) || (from.are_in(States::FIN_WAITS) && !sk.is_orphan() && !sk.is_done())
}

/// Whether the hook may still report a reset that this end sends, which would then be counted a second time. When data arrives
/// after `close`, the kernel calls `tcp_reset` as if it had received one, and then sends one; a connection that was not accepted is
/// reset when its listener closes (`inet_csk_listen_stop`); and one that closed early may have left bytes unread.
#[inline(always)]
pub(crate) fn more_may_come(sk: Sock, from: States, outcome: Outcome) -> bool {
    if outcome == Outcome::failed(Reason::ResetByPeer) {
        from.are_in(States::FIN_WAITS) && sk.is_orphan()
    } else if outcome == Outcome::failed(Reason::NeverAccepted) {
        sk.error() == 0
    } else {
        outcome == Outcome::failed(Reason::ClosedEarly)
    }
}
