//! Retransmissions, as they happen.

use crate::{
    atomic::{add, add32},
    flows::{account, flow, touch},
    maps::{Socket, offset},
    sock::{Sock, is_established, load, state},
};
use agent_common::{ABSENT, FlowKey, Role};
use aya_ebpf::{
    helpers::{bpf_jiffies64, bpf_ktime_get_ns},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

/// `trace_tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb[, int err])`
#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn retransmit(ctx: BtfTracePointContext) -> i32 {
    let _ = retransmitted(Sock(ctx.arg(0)));
    0
}

#[inline(always)]
fn retransmitted(sk: Sock) -> Result<(), ()> {
    let tcp = sk.tcp().ok_or(())?;
    let socket = sk.record_or_zero().ok_or(())?;
    if socket.closed != 0 {
        return Ok(());
    }
    if socket.flags & Socket::READY == 0 {
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        if sk.state() == state::SYN_SENT {
            // The handshake is timed from its first SYN.
            socket.begin(sk.key(tcp, Role::Client), tcp.first_syn_ns(now), 0);
        } else {
            socket.begin(sk.key(tcp, sk.role()), now, 0);
        }
    }
    account(socket, tcp, is_established(sk.state())).ok_or(())?;
    Ok(())
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
    if is_answer_to_repeated_syn(request) {
        add32(&mut socket.repeated, 1);
    }
    let flow = flow(&key).ok_or(())?;
    add(&mut flow.syn_retransmits, 1);
    touch(flow);
    Ok(())
}

/// Whether a SYN that came again is answered, and not the timer has run out. The segment is then thrown away and counted among
/// the listener's drops (`tcp_check_req`, `discard_and_relse` in `tcp_v4_rcv`), though its accept queue has nothing to do with it.
#[inline(always)]
fn is_answer_to_repeated_syn(request: Sock) -> bool {
    if offset!(req_timer) == ABSENT {
        return false;
    }
    let expires: u64 = load!(request.0, req_timer);
    // SAFETY: no arguments.
    let now = unsafe { bpf_jiffies64() };
    expires > now
}
