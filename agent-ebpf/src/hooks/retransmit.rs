//! Retransmissions of segments, SYNs and SYN-ACKs.

use crate::{
    flows::{account, known_flow},
    maps::{is_counting, offset},
    sock::{Sock, load},
    state::{self, is_established},
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
    if is_counting() {
        // SAFETY: the hook's own argument.
        let _ = retransmitted(unsafe { Sock::new(ctx.arg(0)) });
    }
    0
}

#[inline(always)]
fn retransmitted(sk: Sock) -> Result<(), ()> {
    let tcp = sk.tcp().ok_or(())?;
    let socket = sk.record_within_bound().ok_or(())?;
    if socket.closed.get() != 0 {
        return Ok(());
    }
    if !socket.is_ready() {
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        if sk.state() == state::SYN_SENT {
            // The handshake's duration is measured from its first SYN.
            socket.begin(sk.key(tcp, Role::Client), tcp.first_syn_ns(now), 0);
        } else {
            socket.begin(sk.key(tcp, sk.role()), now, 0);
        }
    }
    account(socket, tcp, is_established(sk.state())).ok_or(())?;
    Ok(())
}

/// `trace_tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`: the listener, and the
/// handshake, which has no full socket yet.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
fn retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    if is_counting() {
        // SAFETY: the hook's own arguments.
        let (listener, request) = unsafe { (Sock::new(ctx.arg(0)), Sock::new(ctx.arg(1))) };
        let _ = synack(listener, request);
    }
    0
}

#[inline(always)]
fn synack(listener: Sock, request: Sock) -> Result<(), ()> {
    let socket = listener.record().ok_or(())?;
    let key = FlowKey {
        peer: request.peer_address(),
        role: Role::Server as u8,
        ..socket.key.get()
    };
    if is_answer_to_repeated_syn(request) {
        socket.repeated.add(1);
    }
    // No new entry is created: SYNs from forged addresses would fill the table.
    known_flow(&key).ok_or(())?.syn_retransmits.add(1);
    Ok(())
}

/// Whether the SYN-ACK answers a repeated SYN, rather than being sent because the timer expired. The kernel then discards the
/// segment and counts it in the listener's drops (`tcp_check_req`, `discard_and_relse` in `tcp_v4_rcv`), although the accept queue
/// is not the cause.
#[inline(always)]
fn is_answer_to_repeated_syn(request: Sock) -> bool {
    if offset!(req_timer) == ABSENT {
        return false;
    }
    let expires: u64 = load!(request.as_ptr(), req_timer);
    // SAFETY: no arguments.
    let now = unsafe { bpf_jiffies64() };
    expires > now
}
