//! Retransmissions, as they happen.

use crate::{
    atomic::add,
    flows::{account, flow, touch},
    sock::Sock,
};
use agent_common::{FlowKey, Role};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

/// `trace_tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb[, int err])`
#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn retransmit(ctx: BtfTracePointContext) -> i32 {
    let sk = Sock(ctx.arg(0));
    if let Some(socket) = sk.record()
        && socket.closed == 0
        && let Some(tcp) = sk.tcp()
    {
        let _ = account(socket, tcp);
    }
    0
}

/// `trace_tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`: the listener, and the
/// connection that is not yet a socket.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
fn retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    let _ = synack(Sock(ctx.arg(0)), Sock(ctx.arg(1)));
    0
}

#[inline(always)]
fn synack(listener: Sock, request: Sock) -> Result<(), ()> {
    let socket = listener.record().ok_or(())?;
    let key = FlowKey {
        peer: request.peer_address(),
        role: Role::Server as u8,
        ..socket.key
    };
    let flow = flow(&key).ok_or(())?;
    add(&mut flow.syn_retransmits, 1);
    touch(flow);
    Ok(())
}
