//! What is only counted for points: which cgroups are a point's, and what is kept of their sockets and threads.

use crate::{
    cell::Cell,
    flows::flow,
    maps::{Flow, control, lost},
    record::get_or_retry,
    sock::{Sock, Tcp},
};
use agent_common::{BUCKETS, Control, FlowKey, Loss, Role, THREADS, Tally, bucket};
use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE},
    btf_maps::SkStorage,
    helpers::generated::bpf_sk_storage_get,
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuHashMap},
};
use core::{ffi::c_void, ptr::null_mut};

/// What is shared with the agent, as the programs write it.
pub(crate) type PointCounters = agent_common::PointCounters<Cell<u64>, Cell<u32>>;
pub(crate) type Backlog = agent_common::Backlog<Cell<u64>, Cell<u32>>;
pub(crate) type Task = agent_common::Task<Cell<u64>, Cell<u32>>;

/// The cgroups of points, as the agent has recognised them, with what is counted for each.
#[map]
static POINTS: PerCpuHashMap<u64, PointCounters> = PerCpuHashMap::with_max_entries(4_096, BPF_F_NO_PREALLOC);

/// The same cgroups: what the sampler finds at their sockets. The agent sets it to zero before each walk.
#[map]
static BACKLOG: HashMap<u64, Backlog> = HashMap::with_max_entries(4_096, BPF_F_NO_PREALLOC);

/// The same cgroups: how many processes live that the point was started as.
#[map]
static MAINS: HashMap<u64, Cell<u64>> = HashMap::with_max_entries(4_096, BPF_F_NO_PREALLOC);

/// The threads of points, by their numbers in the first process namespace.
#[map]
pub(crate) static TASKS: HashMap<u32, Task> = HashMap::with_max_entries(32_768, BPF_F_NO_PREALLOC);

/// A bit for each number that a thread may have: whether `TASKS` has it. Nearly no thread of a node is a point's, and to see that
/// here costs a tenth of looking it up there. One that is set for nothing does no harm.
#[map]
static MARKS: Array<Cell<u64>> = Array::with_max_entries(THREADS / u64::BITS, 0);

/// An end of a connection: where its socket is, and its own address and port.
#[repr(C)]
#[derive(Clone, Copy)]
struct Leg {
    address: [u32; 4],
    netns: u32,
    port: u16,
    reserved: u16,
}

/// Clients whose handshake is complete, until the socket at the other end is seen to be: it is, a moment later, where both are in
/// one network namespace, as with a proxy that listens in its workload's. The others give way to new ones.
#[map]
static LEGS: LruHashMap<Leg, FlowKey> = LruHashMap::with_max_entries(8_192, 0);

/// The course of a connection of a point: who sent how much in turn, and what waits to be read.
#[repr(C)]
pub(crate) struct Exchange {
    /// When the first byte came in that was not read yet; boot clock, 0 for none.
    pub(crate) arrived_ns: Cell<u64>,
    /// The end of what had come in then (`tcp_sock.rcv_nxt`).
    pub(crate) arrived_to: Cell<u32>,
    pub(crate) reserved: u32,
    /// When it was first seen.
    pub(crate) since_ns: Cell<u64>,
    /// Bytes of the first flights: what one side sent before the other one answered.
    pub(crate) flights: [Cell<u32>; FLIGHTS],
    /// How many flights there were; no more than one beyond those that are kept.
    pub(crate) turns: Cell<u32>,
    /// [`Exchange::IN`] or [`Exchange::OUT`]: the direction of the last one.
    pub(crate) direction: Cell<u32>,
    /// A [`Role`].
    pub(crate) role: Cell<u32>,
    /// 1 when it is filled in.
    pub(crate) ready: Cell<u32>,
}

/// Flights of a connection whose bytes are kept. A power of two.
pub(crate) const FLIGHTS: usize = 8;

impl Exchange {
    pub(crate) const IN: u32 = 1;
    pub(crate) const OUT: u32 = 2;

    /// Adds bytes that went in one direction.
    #[inline(always)]
    pub(crate) fn carry(&self, direction: u32, bytes: u32) {
        let mut turns = self.turns.get();
        if self.direction.get() != direction {
            self.direction.set(direction);
            if turns <= FLIGHTS as u32 {
                turns += 1;
                self.turns.set(turns);
            }
        }
        let turn = turns.wrapping_sub(1) as usize;
        if turn < FLIGHTS {
            let flight = &self.flights[turn];
            flight.set(flight.get().saturating_add(bytes));
        }
    }
}

/// Exchanges of points' sockets.
#[btf_map]
static EXCHANGES: SkStorage<Exchange> = SkStorage::new();

/// Whether there is any point on this node: what is only about points ends here, where there is none.
#[inline(always)]
pub(crate) fn are_here() -> bool {
    control(Control::PointsAreHere)
}

/// This processor's counters of a point's cgroup.
#[inline(always)]
pub(crate) fn counters(cgroup: u64) -> Option<&'static PointCounters> {
    // SAFETY: a map's value is there until the program ends (RCU); it is made of cells.
    POINTS.get_ptr(cgroup).map(|counters| unsafe { &*counters })
}

/// What the walk over open files adds up for a point's cgroup.
#[inline(always)]
pub(crate) fn backlog(cgroup: u64) -> Option<&'static Backlog> {
    // SAFETY: a map's value is there until the program ends (RCU); it is made of cells.
    BACKLOG.get_ptr(cgroup).map(|backlog| unsafe { &*backlog })
}

/// How many processes live that a point was started as.
#[inline(always)]
pub(crate) fn mains(cgroup: u64) -> Option<&'static Cell<u64>> {
    // SAFETY: a map's value is there until the program ends (RCU); it is a cell.
    MAINS.get_ptr(cgroup).map(|mains| unsafe { &*mains })
}

/// The word of `MARKS` with a thread's number, and its bit there.
#[inline(always)]
fn mark_of(number: u32) -> Option<(&'static Cell<u64>, u64)> {
    // SAFETY: elements of an array are there for as long as the program; a cell.
    let word = MARKS.get_ptr(number / u64::BITS).map(|word| unsafe { &*word })?;
    Some((word, 1 << (number % u64::BITS)))
}

/// Marks a thread's number: before it is in `TASKS`.
#[inline(always)]
pub(crate) fn mark(number: u32) {
    if let Some((word, bit)) = mark_of(number) {
        word.or(bit);
    }
}

/// Forgets a thread.
#[inline(always)]
pub(crate) fn forget(number: u32) {
    let _ = TASKS.remove(&number);
    if let Some((word, bit)) = mark_of(number) {
        word.clear(bit);
    }
}

/// A thread of a point.
#[inline(always)]
pub(crate) fn task(number: u32) -> Option<&'static Task> {
    if control(Control::ThreadsAreMarked) && mark_of(number).is_some_and(|(word, bit)| word.get() & bit == 0) {
        return None;
    }
    // SAFETY: a map's value is there until the program ends (RCU); it is made of cells.
    TASKS.get_ptr(number).map(|task| unsafe { &*task })
}

/// Counts a duration.
#[inline(always)]
pub(crate) fn observe(histogram: &[Cell<u32>; BUCKETS], sum_ns: &Cell<u64>, ns: u64) {
    histogram[bucket(microseconds(ns)) % BUCKETS].add(1);
    sum_ns.add(ns);
}

#[inline(always)]
fn microseconds(ns: u64) -> u32 {
    let us = ns / 1000;
    if us > u64::from(u32::MAX) { u32::MAX } else { us as u32 }
}

/// A table of what a signal counts for points by something that has many values. Preallocated: it grows where no memory can be had.
pub(crate) type Tallies = HashMap<Tally, Cell<u64>>;

/// Makes such a table.
pub(crate) const fn tallies() -> Tallies {
    HashMap::with_max_entries(4_096, 0)
}

/// Counts one more of `what` for `point`; what finds no place is lost as `loss`.
#[inline(always)]
pub(crate) fn tally(table: &'static Tallies, point: u64, what: u64, loss: Loss) {
    let key = Tally { point, what };
    if let Some(count) = table.get_ptr(&key) {
        // SAFETY: a map's value is there until the program ends (RCU); it is a cell.
        unsafe { &*count }.add(1);
    } else if table.insert(&key, Cell::new(1), u64::from(BPF_NOEXIST)).is_err() {
        // Another processor may just have made it.
        match table.get_ptr(&key) {
            // SAFETY: as above.
            Some(count) => unsafe { &*count }.add(1),
            None => lost(loss),
        }
    }
}

/// A client's handshake is complete: notes where it called from.
#[inline(always)]
pub(crate) fn called(key: &FlowKey, sk: Sock, tcp: Tcp) {
    let leg = Leg {
        address: sk.own_address(),
        netns: key.netns,
        port: tcp.own_port(),
        reserved: 0,
    };
    // There is room for every one: the oldest gives way.
    let _ = LEGS.insert(&leg, key, 0);
}

/// A server's handshake is complete: when its client was just seen in the same namespace, and one of the two is a point's, the
/// other's flow was carried by it. Before its own flow is counted as opened, so that it is never read as opened and not carried.
#[inline(always)]
pub(crate) fn answered(key: &FlowKey, sk: Sock, own: &Flow) {
    let leg = Leg {
        address: key.peer,
        netns: key.netns,
        port: sk.peer_port(),
        reserved: 0,
    };
    let Some(client) = LEGS.get_ptr(&leg) else { return };
    // SAFETY: map values live until the program ends (RCU). One that was replaced meanwhile is another client's of the same
    // address and port, which there cannot be.
    let client = unsafe { *client };
    let _ = LEGS.remove(&leg);
    if counters(client.cgroup).is_some() {
        carried(own, client.cgroup);
    }
    if counters(key.cgroup).is_some()
        && let Some(flow) = flow(&client)
    {
        carried(flow, key.cgroup);
    }
}

#[inline(always)]
fn carried(flow: &Flow, by: u64) {
    // Two points that carry for the same flow at the same time are instances of one.
    flow.carrier.set(by);
    flow.carried.add(1);
}

impl Sock {
    /// Its exchange, when it has one.
    #[inline(always)]
    pub(crate) fn exchange(self) -> Option<&'static Exchange> {
        if self.has_no_storage() {
            return None;
        }
        exchange(self, 0).filter(|exchange| exchange.ready.get() != 0)
    }

    /// Its exchange, made when it had none. For a connection of a point.
    #[inline(always)]
    pub(crate) fn exchange_or_new(self, now: u64) -> Option<&'static Exchange> {
        let flags = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
        let Some(found) = get_or_retry(|| exchange(self, flags)) else {
            lost(Loss::Delays);
            return None;
        };
        if found.ready.get() == 0 {
            found.since_ns.set(now);
            found.role.set(match self.record().filter(|socket| socket.is_live()) {
                Some(socket) => u32::from(socket.role()),
                None => self.role() as u32,
            });
            found.ready.set(1);
        }
        Some(found)
    }

    /// The cgroup that holds it and this processor's counters of it, when that is a point's. `None` for sockets of other
    /// families, which use the same hooks, and for those of everybody else: they are the most, so it is found out first.
    #[inline(always)]
    pub(crate) fn point(self) -> Option<&'static PointCounters> {
        if !self.is_ip() {
            return None;
        }
        counters(self.cgroup())
    }
}

#[inline(always)]
fn exchange(sk: Sock, flags: u64) -> Option<&'static Exchange> {
    let map: *mut c_void = (&raw const EXCHANGES).cast_mut().cast();
    // SAFETY: the kernel returns NULL or a value that lives as long as this program runs (RCU); it is made of cells.
    unsafe {
        bpf_sk_storage_get(map, sk.as_ptr().cast_mut().cast(), null_mut(), flags)
            .cast::<Exchange>()
            .as_ref()
    }
}

/// The index of a role in a point's counters: a listener has none.
#[inline(always)]
pub(crate) const fn side(role: u32) -> usize {
    if role == Role::Client as u32 { 0 } else { 1 }
}
