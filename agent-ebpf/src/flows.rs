//! Counting: which entry a connection belongs to, and bringing that entry up to date.
//!
//! A connection is counted as opened when it is established, and as closed when its socket closes; what it carried is
//! folded into its flow when it closes and, for sockets with a record, at each sampling, whichever comes. Both may happen
//! at once, on two processors, so what was folded already is exchanged atomically: whoever writes last has folded
//! everything before. The sampler looks for `closed` again after its exchange and repeats it then, so that the last
//! one is always somebody who saw the final counters.

use crate::{
    atomic::{add, add32, exchange, exchange32},
    maps::{FLOWS, OVERFLOW, Socket, TOTALS, ZERO, lost},
    sock::{Sock, Tcp},
};
use agent_common::{BUCKETS, Flow, FlowKey, Loss, bucket};
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_log_ebpf::warn;
use core::ptr::write_volatile;

/// The entry that counts for `key`: its own, else its owner's overflow entry, else its role's.
#[inline(always)]
pub(crate) fn flow(key: &FlowKey) -> Option<&'static mut Flow> {
    if let Some(flow) = FLOWS.get_ptr_mut(key) {
        // SAFETY: map values live until the program ends (RCU); all updates are atomic.
        let flow = unsafe { &mut *flow };
        if flow.retired == 0 {
            return Some(flow);
        }
    }
    make(key)
}

/// The same, when the entry is not there or is being taken out.
#[inline(never)]
fn make(key: &FlowKey) -> Option<&'static mut Flow> {
    let zero = ZERO.get_ptr(0)?;
    // SAFETY: as above; ZERO is never written.
    let zero = unsafe { &*zero };
    let mut key = *key;
    // The other generation may have taken over earlier: what began there ends there, so it is not left before it is retired.
    key.generation ^= 1;
    if let Some(flow) = FLOWS.get_ptr_mut(&key) {
        // SAFETY: as above.
        let flow = unsafe { &mut *flow };
        if flow.retired == 0 {
            return Some(flow);
        }
    }
    key.generation ^= 1;
    // A retired entry is not written to: its other generation takes over.
    for _ in 0..2 {
        let _ = FLOWS.insert(&key, zero, u64::from(BPF_NOEXIST));
        if let Some(flow) = FLOWS.get_ptr_mut(&key) {
            // SAFETY: as above.
            let flow = unsafe { &mut *flow };
            if flow.retired == 0 {
                return Some(flow);
            }
        } else {
            break;
        }
        key.generation ^= 1;
    }
    lost(Loss::FlowDetail);
    key.peer = [0; 4];
    key.port = 0;
    key.generation = 0;
    let _ = OVERFLOW.insert(&key, zero, u64::from(BPF_NOEXIST));
    if let Some(flow) = OVERFLOW.get_ptr_mut(&key) {
        // SAFETY: as above.
        return Some(unsafe { &mut *flow });
    }
    lost(Loss::FlowOwner);
    let flow = TOTALS.get_ptr_mut(u32::from(key.role))?;
    // SAFETY: as above.
    Some(unsafe { &mut *flow })
}

/// Marks a flow as changed. After the counters, as the collector clears the mark before it reads them.
#[inline(always)]
pub(crate) fn touch(flow: &mut Flow) {
    // SAFETY: a field of the flow. Volatile: of two stores of the same value, the compiler would keep the first.
    unsafe { write_volatile(&raw mut flow.dirty, 1) };
}

/// Folds what a connection with a record has carried into its flow, and returns the flow.
#[inline(always)]
pub(crate) fn account(socket: &mut Socket, tcp: Tcp, established: bool) -> Option<&'static mut Flow> {
    let flow = flow(&socket.key)?;
    fold(socket, tcp, established, flow);
    touch(flow);
    Some(flow)
}

/// The part of [`account`] after the look-up. Whether the connection is established, its state tells: a record may have been
/// made while that was about to change.
#[inline(always)]
pub(crate) fn fold(socket: &mut Socket, tcp: Tcp, established: bool, flow: &mut Flow) {
    if socket.flags & Socket::ADOPTED != 0 && socket.counted == 0 && exchange32(&mut socket.counted, 1) == 0 {
        add(&mut flow.adopted, 1);
    }
    // Counters only grow, so zero means that nobody has folded anything yet, and nothing is to be exchanged.
    let received = tcp.received();
    if received != 0 {
        add(
            &mut flow.received,
            received.wrapping_sub(exchange(&mut socket.received, received)),
        );
    }
    let sent = tcp.sent();
    if sent != 0 {
        add(&mut flow.sent, sent.wrapping_sub(exchange(&mut socket.sent, sent)));
    }
    let retransmits = tcp.retransmits();
    if retransmits != 0 {
        let new = retransmits.wrapping_sub(exchange32(&mut socket.retransmits, retransmits));
        // Sign-extended: the sampler may have been overtaken, and then takes back what the other counted for it.
        add_retransmits(flow, established, i64::from(new.cast_signed()).cast_unsigned());
    }
}

/// Folds everything that a connection without a record has carried.
#[inline(always)]
pub(crate) fn fold_all(established: bool, tcp: Tcp, flow: &mut Flow) {
    let received = tcp.received();
    if received != 0 {
        add(&mut flow.received, received);
    }
    let sent = tcp.sent();
    if sent != 0 {
        add(&mut flow.sent, sent);
    }
    let retransmits = tcp.retransmits();
    if retransmits != 0 {
        add_retransmits(flow, established, u64::from(retransmits));
    }
}

#[inline(always)]
fn add_retransmits(flow: &mut Flow, established: bool, n: u64) {
    if established {
        add(&mut flow.retransmits, n);
    } else {
        add(&mut flow.syn_retransmits, n);
    }
}

/// Counts a completed handshake, and how long it took when that is known (not 0).
#[inline(always)]
pub(crate) fn count_opened(flow: &mut Flow, handshake_us: u32) {
    add(&mut flow.opened, 1);
    if handshake_us != 0 {
        add32(&mut flow.connect[bucket(handshake_us) % BUCKETS], 1);
        add(&mut flow.connect_us, u64::from(handshake_us));
    }
    touch(flow);
}

/// Folds a listener's drops into its flow.
#[inline(always)]
pub(crate) fn account_listener(socket: &mut Socket, sk: Sock) -> Option<&'static mut Flow> {
    let flow = flow(&socket.key)?;
    if exchange32(&mut socket.counted, 1) == 0 {
        add(&mut flow.opened, 1);
    }
    let drops = sk.drops().wrapping_sub(socket.repeated);
    if drops != 0 {
        let new = drops.wrapping_sub(exchange32(&mut socket.drops, drops));
        add(&mut flow.drops, i64::from(new.cast_signed()).cast_unsigned());
    }
    touch(flow);
    Some(flow)
}

/// Says that a socket could not be given a record.
#[inline(never)]
pub(crate) fn no_record(ctx: *mut core::ffi::c_void) {
    lost(Loss::SocketRecord);
    warn!(
        ctx,
        "no memory for the record of a socket: its connection is not counted"
    );
}
