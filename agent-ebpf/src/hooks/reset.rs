//! Who reset a connection.

use crate::{
    failures::{fail, outcome, rename},
    flows::flow,
    maps::Socket,
    outcome::said_goodbye,
    sock::Sock,
};
use agent_common::{Reason, Role};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

/// `trace_tcp_receive_reset(struct sock *sk)`, at the start of `tcp_reset`: before the state changes.
#[btf_tracepoint(function = "tcp_receive_reset")]
fn reset_received(ctx: BtfTracePointContext) -> i32 {
    let sk = Sock(ctx.arg(0));
    if let Some(socket) = sk.record()
        && !said_goodbye(sk.state())
    {
        socket.flags |= Socket::RESET_RECEIVED;
    }
    0
}

/// `trace_tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, enum sk_rst_reason reason])`; `sk` is NULL
/// for a segment that belongs to no socket.
#[btf_tracepoint(function = "tcp_send_reset")]
fn reset_sent(ctx: BtfTracePointContext) -> i32 {
    let sk: *const u8 = ctx.arg(0);
    if sk.is_null() {
        return 0;
    }
    let _ = sent(Sock(sk));
    0
}

#[inline(always)]
fn sent(sk: Sock) -> Result<(), ()> {
    let socket = sk.record().ok_or(())?;
    if socket.key.role == Role::Listener as u8 || socket.flags & Socket::ESTABLISHED == 0 {
        return Ok(());
    }
    socket.flags |= Socket::RESET_SENT;
    if socket.closed == 0 || said_goodbye(socket.closed_from as i32) {
        return Ok(());
    }
    // `close` changes the state first and sends the reset then, so the connection has been counted already: as clean,
    // or, when data came in after `close` (`tcp_reset` is called for that too), as reset by its peer.
    let flow = flow(&socket.key).ok_or(())?;
    if socket.outcome == Socket::CLEAN {
        let tcp = sk.tcp().ok_or(())?;
        fail(socket, sk, tcp, flow, Reason::ResetBySelf);
    } else if socket.outcome == outcome(Reason::ResetByPeer) {
        rename(socket, flow, Reason::ResetByPeer, Reason::ResetBySelf);
    }
    Ok(())
}
