//! Resets that this end sends. Received resets set `sk_err` to ECONNRESET or EPIPE.

use crate::{
    failures::{Failed, fail, rename},
    flows::flow,
    maps::resets_are_seen,
    outcome::Outcome,
    pairing,
    record::Socket,
    sock::Sock,
    state,
};
use agent_common::{Reason, Role};
use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};

/// `trace_tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, enum sk_rst_reason reason])`; `sk` is NULL
/// for a segment that belongs to no socket.
#[btf_tracepoint(function = "tcp_send_reset")]
fn reset(ctx: BtfTracePointContext) -> i32 {
    let sk: *const u8 = ctx.arg(0);
    if sk.is_null() {
        return 0;
    }
    // SAFETY: the hook's own argument, which is not NULL.
    let _ = sent(unsafe { Sock::new(sk) });
    0
}

#[inline(always)]
fn sent(sk: Sock) -> Result<(), ()> {
    let state = sk.state();
    if matches!(
        state,
        state::LISTEN | state::SYN_SENT | state::SYN_RECV | state::TIME_WAIT
    ) || !resets_are_seen()
    {
        return Ok(());
    }
    let tcp = sk.tcp().ok_or(())?;
    if state != state::CLOSE {
        // The change to CLOSE, which follows, finds the flag in the record.
        let socket = sk.record_or_zero().ok_or(())?;
        if !socket.is_live() {
            // SAFETY: no arguments.
            let now = unsafe { bpf_ktime_get_ns() };
            socket.begin(sk.key(tcp, sk.role()), now, 0);
        }
        socket.flags.or(Socket::RESET_SENT);
        return Ok(());
    }
    // `close` changes the state before it sends the reset, so the connection was counted already: as a clean end, or,
    // when data arrived after `close`, as reset by its peer.
    let socket = sk.record();
    let key = socket.map_or_else(|| sk.key(tcp, sk.role()), |socket| socket.key.get());
    if key.role == Role::Listener as u8 {
        return Ok(());
    }
    let flow = flow(&key).ok_or(())?;
    let counted = socket.map_or(Outcome::CLEAN, |socket| socket.outcome.get());
    let is_other = counted == Outcome::failed(Reason::ResetByPeer)
        // Nothing was read from the socket: its peer gets no TLS alert, but the reset.
        || counted == Outcome::failed(Reason::ClosedEarly)
            && sk.exchange().is_none_or(|exchange| exchange.turns.get() == 0);
    if counted != Outcome::CLEAN && !is_other {
        return Ok(());
    }
    let failed = Failed {
        sk,
        tcp,
        since_ns: socket.map_or(0, |socket| socket.since_ns.get()),
        outcome: Outcome::failed(Reason::ResetBySelf),
        path: pairing::of(&key, sk),
    };
    if let Some(socket) = socket {
        socket.outcome.set(failed.outcome);
    }
    if is_other {
        rename(&failed, &key, flow, counted);
    } else {
        fail(&failed, &key, flow);
    }
    Ok(())
}
