//! How a connection ended. Pure decisions; the facts they rest on are in the comments.

use crate::{maps::Socket, sock::state};
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

/// Why an established connection did not end well, or `None`.
#[inline(always)]
pub(crate) fn of_connection(error: i32, from: i32, flags: u32) -> Option<Reason> {
    // A keep-alive or retransmission time-out may also send a reset: the time-out is the cause.
    if error == ETIMEDOUT {
        return Some(Reason::EstablishedTimedOut);
    }
    if unreachable(error) {
        return Some(Reason::Unreachable);
    }
    if flags & Socket::RESET_RECEIVED != 0 {
        return Some(Reason::ResetByPeer);
    }
    if matches!(error, ECONNRESET | EPIPE) && !said_goodbye(from) {
        return Some(Reason::ResetByPeer);
    }
    // `close` with unread data, or with a linger time of 0, and `tcp_disconnect` go straight to CLOSE and send the
    // reset after that; `tcp_abort` leaves ECONNABORTED.
    if flags & Socket::RESET_SENT != 0
        || error == ECONNABORTED
        || (error == 0 && matches!(from, state::ESTABLISHED | state::CLOSE_WAIT))
    {
        return Some(Reason::ResetBySelf);
    }
    None
}

/// Both ends have sent their FIN: a reset that comes now ends a connection that was over.
#[inline(always)]
pub(crate) fn said_goodbye(from: i32) -> bool {
    matches!(from, state::LAST_ACK | state::CLOSING | state::TIME_WAIT)
}
