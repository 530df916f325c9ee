//! Counting: finds the flow table entry of a connection, and updates it.
//!
//! A connection is counted as opened when it is established, and as closed when its socket closes. The byte counters of its
//! socket are folded into its flow at the close and, for sockets with a record, also at each walk over open files. Both may
//! happen at once, on two CPUs, so the record's "already folded" values are exchanged atomically: the last writer has folded
//! everything up to its own reading. The walk checks `closed` again after its exchange and then repeats it, so that the last
//! writer has always seen the final counters.

use crate::{
    cell::Cell,
    maps::{FLOWS, Flow, OVERFLOW, OWNERS, TOTALS, lost, settings, zero},
    record::Socket,
    sock::{Sock, Tcp},
};
use agent_common::{BUCKETS, FlowKey, Loss, bucket};
use aya_ebpf::{bindings::BPF_NOEXIST, maps::HashMap};
use aya_log_ebpf::warn;

/// The entry of a table, also when it is being removed.
#[inline(always)]
pub(crate) fn entry(table: &'static HashMap<FlowKey, Flow>, key: &FlowKey) -> Option<&'static Flow> {
    // SAFETY: a map's value exists until the program ends (RCU; removed entries of a preallocated map may be reused at once, but
    // none is removed from these); it is made of cells.
    table.get_ptr(key).map(|flow| unsafe { &*flow })
}

/// The entry of the flow table for `key`, unless it is being removed.
#[inline(always)]
fn counting(key: &FlowKey) -> Option<&'static Flow> {
    entry(&FLOWS, key).filter(|flow| flow.retired.get() == 0)
}

/// The entry that counts for `key`: its own, else its owner's overflow entry, else its role's.
#[inline(always)]
pub(crate) fn flow(key: &FlowKey) -> Option<&'static Flow> {
    match counting(key) {
        None => make(key),
        found => found,
    }
}

/// The existing entry for `key`, else its owner's overflow entry: for events that an outsider can cause at will, which
/// must not fill the table.
#[inline(always)]
pub(crate) fn known_flow(key: &FlowKey) -> Option<&'static Flow> {
    match counting(key) {
        None => owner_flow(*key),
        found => found,
    }
}

/// The slow path of [`flow`]: the entry does not exist or is being removed.
#[inline(never)]
fn make(key: &FlowKey) -> Option<&'static Flow> {
    let mut key = *key;
    // The other generation may be in use already: a connection that began there must end there, so it is kept until it is retired.
    key.generation ^= 1;
    if let Some(flow) = counting(&key) {
        return Some(flow);
    }
    key.generation ^= 1;
    let has_room = owner_has_room(key.cgroup);
    // No program writes to a retired entry: the other generation takes over.
    for _ in 0..2 {
        if !has_room {
            break;
        }
        if FLOWS.insert(&key, zero()?, u64::from(BPF_NOEXIST)).is_ok() {
            owner_has_one_more(key.cgroup);
        }
        match entry(&FLOWS, &key) {
            Some(flow) if flow.retired.get() == 0 => return Some(flow),
            Some(_) => key.generation ^= 1,
            None => break,
        }
    }
    lost(if has_room { Loss::FlowDetail } else { Loss::FlowQuota });
    owner_flow(key)
}

/// The overflow entry of an owner, else the entry of its role.
#[inline(always)]
fn owner_flow(mut key: FlowKey) -> Option<&'static Flow> {
    key.peer = [0; 4];
    key.port = 0;
    key.generation = 0;
    if let Some(flow) = entry(&OVERFLOW, &key) {
        return Some(flow);
    }
    let _ = OVERFLOW.insert(&key, zero()?, u64::from(BPF_NOEXIST));
    if let Some(flow) = entry(&OVERFLOW, &key) {
        return Some(flow);
    }
    lost(Loss::FlowOwner);
    // SAFETY: an element of an array lives as long as the program; it is made of cells.
    TOTALS.get_ptr(u32::from(key.role)).map(|flow| unsafe { &*flow })
}

#[inline(always)]
fn owned(cgroup: u64) -> Option<&'static Cell<u64>> {
    // SAFETY: a map's value exists until the program ends (RCU); it is a cell.
    OWNERS.get_ptr(cgroup).map(|number| unsafe { &*number })
}

/// Whether an owner may have one more flow: a port scanner, or a server with very many peers, must not use up the table.
#[inline(always)]
fn owner_has_room(cgroup: u64) -> bool {
    owned(cgroup).is_none_or(|number| number.get() < u64::from(settings().flows_per_owner))
}

#[inline(always)]
fn owner_has_one_more(cgroup: u64) {
    if let Some(number) = owned(cgroup) {
        number.add(1);
    } else {
        // Of two first flows that are inserted at the same time one is not counted, until the agent corrects the number.
        let _ = OWNERS.insert(cgroup, Cell::new(1), u64::from(BPF_NOEXIST));
    }
}

/// Folds what a connection with a record has carried into its flow, and returns the flow.
#[inline(always)]
pub(crate) fn account(socket: &Socket, tcp: Tcp, established: bool) -> Option<&'static Flow> {
    let flow = flow(&socket.key.get())?;
    fold(socket, tcp, established, flow);
    Some(flow)
}

/// The part of [`account`] after the look-up. `established` comes from the socket's state and not from the record, which may have
/// been created just before the state changed.
#[inline(always)]
pub(crate) fn fold(socket: &Socket, tcp: Tcp, established: bool, flow: &Flow) {
    if socket.has(Socket::ADOPTED) && socket.counted.get() == 0 && socket.counted.exchange(1) == 0 {
        flow.adopted.add(1);
    }
    // Counters only grow, so zero means that nothing was folded yet, and no exchange is needed.
    let received = tcp.received();
    if received != 0 {
        flow.received
            .add(received.wrapping_sub(socket.received.exchange(received)));
    }
    let sent = tcp.sent();
    if sent != 0 {
        flow.sent.add(sent.wrapping_sub(socket.sent.exchange(sent)));
    }
    let retransmits = tcp.retransmits();
    if retransmits != 0 {
        let new = retransmits.wrapping_sub(socket.retransmits.exchange(retransmits));
        // Sign-extended: a walk that was overtaken by another writer subtracts here what that one has counted in excess.
        add_retransmits(flow, established, i64::from(new.cast_signed()).cast_unsigned());
    }
}

/// Folds everything that a connection without a record has carried.
#[inline(always)]
pub(crate) fn fold_all(established: bool, tcp: Tcp, flow: &Flow) {
    let received = tcp.received();
    if received != 0 {
        flow.received.add(received);
    }
    let sent = tcp.sent();
    if sent != 0 {
        flow.sent.add(sent);
    }
    let retransmits = tcp.retransmits();
    if retransmits != 0 {
        add_retransmits(flow, established, u64::from(retransmits));
    }
}

#[inline(always)]
fn add_retransmits(flow: &Flow, established: bool, n: u64) {
    if established {
        flow.retransmits.add(n);
    } else {
        flow.syn_retransmits.add(n);
    }
}

/// Counts a completed handshake, and how long it took when that is known (not 0).
#[inline(always)]
pub(crate) fn count_opened(flow: &Flow, handshake_us: u32) {
    if handshake_us != 0 {
        flow.connect[bucket(handshake_us) % BUCKETS].add(1);
        flow.connect_us.add(u64::from(handshake_us));
    }
    flow.opened.add(1);
}

/// Folds a listener's drops into its flow.
#[inline(always)]
pub(crate) fn account_listener(socket: &Socket, sk: Sock) -> Option<&'static Flow> {
    let flow = flow(&socket.key.get())?;
    if socket.counted.exchange(1) == 0 {
        flow.opened.add(1);
    }
    let drops = sk.drops().wrapping_sub(socket.repeated.get());
    if drops != 0 {
        let new = drops.wrapping_sub(socket.drops.exchange(drops));
        flow.drops.add(i64::from(new.cast_signed()).cast_unsigned());
    }
    Some(flow)
}

/// Logs that a socket could not get a record.
#[inline(never)]
pub(crate) fn no_record(ctx: *mut core::ffi::c_void) {
    lost(Loss::SocketRecord);
    warn!(
        ctx,
        "no memory for the record of a socket: its connection is not counted"
    );
}
