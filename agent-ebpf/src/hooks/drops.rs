//! Packets of points that the kernel drops, by its own reasons.
//!
//! Packets that are processed normally are freed by another function (`consume_skb`), so the hook rarely runs when nothing is
//! wrong.

use crate::{
    points::{self, Tallies, counters, tallies, tally},
    sock::{Sock, load},
    state,
};
use agent_common::{Drop, Loss};
use aya_ebpf::{
    macros::{btf_tracepoint, map},
    programs::BtfTracePointContext,
};

/// Dropped packets of points, by [`Drop`].
#[map]
static DROPS: Tallies = tallies();

/// `trace_kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason)`, since Linux 5.17: packets that belong to a
/// socket.
#[btf_tracepoint(function = "kfree_skb")]
fn packet_dropped(ctx: BtfTracePointContext) -> i32 {
    let skb: *const u8 = ctx.arg(0);
    let sk: *const u8 = load!(skb, skb_sk);
    if points::are_here() && !sk.is_null() {
        // A received packet may belong to a socket, too: the kernel looks it up early (`tcp_v4_early_demux`).
        let device: u32 = load!(skb, skb_iif);
        let direction = if device == 0 { Drop::SENT } else { Drop::RECEIVED };
        // SAFETY: the packet holds a reference to the socket, or the socket to the packet.
        let _ = dropped(unsafe { Sock::new(sk) }, ctx.arg(2), direction);
    }
    0
}

/// `trace_kfree_skb(…, struct sock *rx_sk)`, since Linux 6.11: received packets whose socket was found, but did not accept them.
#[btf_tracepoint(function = "kfree_skb")]
fn packet_rejected(ctx: BtfTracePointContext) -> i32 {
    let (skb, sk): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(3));
    if !points::are_here() || sk.is_null() {
        return 0;
    }
    let owner: u64 = load!(skb, skb_sk);
    // Packets with an owner are counted by the other program.
    if owner == 0 {
        // SAFETY: the hook's own argument.
        let _ = dropped(unsafe { Sock::new(sk) }, ctx.arg(2), Drop::RECEIVED);
    }
    0
}

#[inline(always)]
fn dropped(sk: Sock, reason: u32, direction: u32) -> Result<(), ()> {
    // The sockets of handshakes and of TIME_WAIT are smaller structures, without an owner.
    if !sk.is_ip() || matches!(sk.state(), state::NEW_SYN_RECV | state::TIME_WAIT) {
        return Ok(());
    }
    let cgroup = sk.cgroup();
    counters(cgroup).ok_or(())?;
    tally(&DROPS, cgroup, Drop::pack(reason, direction), Loss::DroppedPackets);
    Ok(())
}
