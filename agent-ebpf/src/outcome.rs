//! How a connection ended: decisions, with the facts they rest on in the comments.

use crate::{
    maps::{Socket, resets_are_seen},
    sock::{Sock, state},
};
use agent_common::Reason;

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

/// Why a handshake that this end began came to nothing. `sk_err` is set before the state changes to CLOSE
/// (`tcp_reset`, `tcp_write_err`, `tcp_v4_err`); it is 0 when the caller closed the socket or `connect` itself failed.
#[inline(always)]
pub(crate) fn of_handshake(error: i32, own_port: u16) -> Reason {
    match error {
        // Anything but a time-out or an ICMP error comes from a segment that was no SYN-ACK.
        ETIMEDOUT => Reason::HandshakeTimedOut,
        ECONNREFUSED | ECONNRESET | EPIPE => Reason::Refused,
        // `inet_hash_connect` found no free port: the socket never got a number.
        0 if own_port == 0 => Reason::NoLocalPort,
        0 | ECONNABORTED => Reason::Cancelled,
        error if unreachable(error) => Reason::Unreachable,
        _ => Reason::Unreachable,
    }
}

/// Why an established connection did not end well, or `None`; `flags` are those of its record.
#[inline(always)]
pub(crate) fn of_connection(sk: Sock, from: i32, flags: u32) -> Option<Reason> {
    let error = sk.error();
    // A keep-alive or retransmission time-out may also send a reset: the time-out is the cause.
    if error == ETIMEDOUT {
        return Some(Reason::EstablishedTimedOut);
    }
    if unreachable(error) {
        return Some(Reason::Unreachable);
    }
    // `tcp_reset`, for a reset that has come in (or see `may_be_our_own_reset`).
    if matches!(error, ECONNRESET | EPIPE) && !said_goodbye(from) {
        return Some(Reason::ResetByPeer);
    }
    // `tcp_abort` leaves ECONNABORTED.
    if flags & Socket::RESET_SENT != 0
        || error == ECONNABORTED
        || (error == 0 && !resets_are_seen() && aborted(sk, from))
    {
        return Some(Reason::ResetBySelf);
    }
    None
}

/// Whether a socket that closes without an error does so with a reset: `close` with unread data or with a linger time of
/// 0, and `tcp_disconnect`, go straight to CLOSE and send the reset after that. (The `reset` program sees it, and more:
/// data that comes with the ACK of our FIN after `close` looks like a clean end here.)
///
/// Otherwise CLOSE comes after LAST_ACK or CLOSING, or after FIN_WAIT2 when TIME_WAIT begins: then the peer's FIN has
/// come, or the process had let go of the socket before.
#[inline(always)]
fn aborted(sk: Sock, from: i32) -> bool {
    match from {
        state::ESTABLISHED | state::CLOSE_WAIT => true,
        state::FIN_WAIT1 | state::FIN_WAIT2 => !sk.is_orphan() && !sk.is_done(),
        _ => false,
    }
}

/// When data comes in after `close`, the kernel calls `tcp_reset` as if it had received one, and then sends one.
#[inline(always)]
pub(crate) fn may_be_our_own_reset(sk: Sock, from: i32, reason: Reason) -> bool {
    matches!(reason, Reason::ResetByPeer) && matches!(from, state::FIN_WAIT1 | state::FIN_WAIT2) && sk.is_orphan()
}

/// Both ends have sent their FIN: a reset that comes now ends a connection that was over.
#[inline(always)]
fn said_goodbye(from: i32) -> bool {
    matches!(from, state::LAST_ACK | state::CLOSING | state::TIME_WAIT)
}
