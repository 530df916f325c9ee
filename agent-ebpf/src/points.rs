//! State for points only: the cgroups of points, and what is kept about their sockets and threads.

use crate::{
    cell::Cell,
    flows::flow,
    maps::{Flow, control, lost},
    path::Path,
    reads::Reads,
    record::{Socket, get_or_retry},
    sock::{Sock, Tcp},
};
use agent_common::{BUCKETS, Control, FlowKey, Loss, Role, THREADS, Tally, bucket};
use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE},
    btf_maps::SkStorage,
    helpers::{bpf_ktime_get_ns, generated::bpf_sk_storage_get},
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuHashMap},
};
use core::{ffi::c_void, ptr::null_mut};

/// The counters of a point as the programs write them, made of cells.
pub(crate) type PointCounters = agent_common::PointCounters<Cell<u64>, Cell<u32>>;
pub(crate) type Backlog = agent_common::Backlog<Cell<u64>, Cell<u32>>;
pub(crate) type Task = agent_common::Task<Cell<u64>, Cell<u32>, Reads>;

/// The cgroups of points that the agent has recognised, with the counters of each.
#[map]
static POINTS: PerCpuHashMap<u64, PointCounters> = PerCpuHashMap::with_max_entries(4_096, BPF_F_NO_PREALLOC);

/// The same cgroups, with the sums that a walk finds at their sockets. The agent sets them to zero before each walk.
#[map]
static BACKLOG: HashMap<u64, Backlog> = HashMap::with_max_entries(4_096, BPF_F_NO_PREALLOC);

/// The same cgroups, with the number of live main processes of the point.
#[map]
static MAINS: HashMap<u64, Cell<u64>> = HashMap::with_max_entries(4_096, BPF_F_NO_PREALLOC);

/// The threads of points, by their ids in the initial PID namespace.
#[map]
static TASKS: HashMap<u32, Task> = HashMap::with_max_entries(32_768, BPF_F_NO_PREALLOC);

/// A thread of which nothing is known, the initial value of new entries: it is too large for the stack.
#[map]
static NO_TASK: Array<Task> = Array::with_max_entries(1, 0);

/// A bit for each possible thread id: whether `TASKS` has it. Very few threads of a node belong to points, and this check
/// costs a tenth of a look-up there. A bit that is set without an entry does no harm.
#[map]
static MARKS: Array<Cell<u64>> = Array::with_max_entries(THREADS / u64::BITS, 0);

/// An end of a connection: the network namespace of its socket, and its own address and port.
#[repr(C)]
#[derive(Clone, Copy)]
struct Leg {
    address: [u32; 4],
    netns: u32,
    port: u16,
    reserved: u16,
}

/// Clients whose handshake is complete, until the handshake of the socket at the other end is: a moment later, if both are in
/// one network namespace, as with a proxy that listens in its workload's. All others are evicted by newer ones.
#[map]
static LEGS: LruHashMap<Leg, FlowKey> = LruHashMap::with_max_entries(8_192, 0);

/// The exchange on a connection of a point: how many bytes each side sent in turn, and since when data waits to be read.
#[repr(C)]
pub(crate) struct Exchange {
    /// When the first unread byte arrived, in nanoseconds of `CLOCK_MONOTONIC`; 0 for none.
    pub(crate) arrived_ns: Cell<u64>,
    /// The end of the received data at that time (`tcp_sock.rcv_nxt`).
    pub(crate) arrived_to: Cell<u32>,
    /// The thread that has read from it last; 0 if that is not known.
    pub(crate) reader: Cell<u32>,
    /// When the connection was first seen, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) since_ns: Cell<u64>,
    /// Bytes of the first flights; a flight is what one side sends before the other one answers.
    pub(crate) flights: [Cell<u32>; FLIGHTS],
    /// The number of flights, at most one more than are kept.
    pub(crate) turns: Cell<u32>,
    /// The direction of the last flight: [`Exchange::IN`] or [`Exchange::OUT`].
    pub(crate) direction: Cell<u32>,
    /// The role of the point's end: a [`Role`].
    pub(crate) role: Cell<u32>,
    /// 1 when it is filled in.
    pub(crate) ready: Cell<u32>,
    /// Whose traffic it carries, when the point has opened it.
    pub(crate) path: Path,
}

/// `EEXIST` of `include/uapi/asm-generic/errno-base.h`.
const EEXIST: i32 = 17;

/// The number of flights whose bytes are kept. A power of two.
pub(crate) const FLIGHTS: usize = 8;

impl Exchange {
    pub(crate) const IN: u32 = 1;
    pub(crate) const OUT: u32 = 2;

    /// Adds bytes in one direction, and returns whether a flight begins with them.
    #[inline(always)]
    pub(crate) fn carry(&self, direction: u32, bytes: u32) -> bool {
        let mut turns = self.turns.get();
        let begins = self.direction.get() != direction;
        if begins {
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
        begins
    }
}

/// The exchanges of points' sockets; the kernel frees them with the sockets.
#[btf_map]
static EXCHANGES: SkStorage<Exchange> = SkStorage::new();

/// Whether there are points on this node: programs that only concern points return at once if not.
#[inline(always)]
pub(crate) fn are_here() -> bool {
    control(Control::PointsAreHere)
}

/// The current CPU's counters of a point's cgroup.
#[inline(always)]
pub(crate) fn counters(cgroup: u64) -> Option<&'static PointCounters> {
    // SAFETY: a map's value is there until the program ends (RCU); it is made of cells.
    POINTS.get_ptr(cgroup).map(|counters| unsafe { &*counters })
}

/// The sums of the walk over open files for a point's cgroup.
#[inline(always)]
pub(crate) fn backlog(cgroup: u64) -> Option<&'static Backlog> {
    // SAFETY: a map's value is there until the program ends (RCU); it is made of cells.
    BACKLOG.get_ptr(cgroup).map(|backlog| unsafe { &*backlog })
}

/// The number of live main processes of a point: those that it was started as, rather than started itself.
#[inline(always)]
pub(crate) fn mains(cgroup: u64) -> Option<&'static Cell<u64>> {
    // SAFETY: a map's value is there until the program ends (RCU); it is a cell.
    MAINS.get_ptr(cgroup).map(|mains| unsafe { &*mains })
}

/// The word of `MARKS` for a thread id, and its bit in it.
#[inline(always)]
fn mark_of(number: u32) -> Option<(&'static Cell<u64>, u64)> {
    // SAFETY: elements of an array live as long as the program; a cell.
    let word = MARKS.get_ptr(number / u64::BITS).map(|word| unsafe { &*word })?;
    Some((word, 1 << (number % u64::BITS)))
}

/// Marks a thread id; call it before the thread is inserted into `TASKS`.
#[inline(always)]
pub(crate) fn mark(number: u32) {
    if let Some((word, bit)) = mark_of(number) {
        word.or(bit);
    }
}

/// Makes an entry for a thread, and marks it. `None` if there is one and `flags` are `BPF_NOEXIST`, or if there is no room, which is
/// counted.
#[inline(always)]
pub(crate) fn insert(number: u32, flags: u32) -> Option<&'static Task> {
    mark(number);
    // SAFETY: an element of an array lives as long as the program; no program writes to this one.
    let none = NO_TASK.get_ptr(0).map(|none| unsafe { &*none })?;
    match TASKS.insert(&number, none, flags.into()) {
        // SAFETY: a map's value is there until the program ends (RCU); it is made of cells.
        Ok(()) => TASKS.get_ptr(number).map(|task| unsafe { &*task }),
        Err(error) => {
            if error != -EEXIST {
                lost(Loss::Threads);
            }
            None
        }
    }
}

/// Removes a thread from `TASKS`, and its mark.
#[inline(always)]
pub(crate) fn forget(number: u32) {
    let _ = TASKS.remove(&number);
    if let Some((word, bit)) = mark_of(number) {
        word.clear(bit);
    }
}

/// The entry of a thread; `None` when it does not belong to a point.
#[inline(always)]
pub(crate) fn task(number: u32) -> Option<&'static Task> {
    if control(Control::ThreadsAreMarked) && mark_of(number).is_some_and(|(word, bit)| word.get() & bit == 0) {
        return None;
    }
    // SAFETY: a map's value is there until the program ends (RCU); it is made of cells.
    TASKS.get_ptr(number).map(|task| unsafe { &*task })
}

/// Adds a duration in nanoseconds to a histogram and its sum.
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

/// A table of counts by point and by another number with many values. Preallocated, as entries are added where no memory can be
/// allocated.
pub(crate) type Tallies = HashMap<Tally, Cell<u64>>;

/// Creates an empty table.
pub(crate) const fn tallies() -> Tallies {
    HashMap::with_max_entries(4_096, 0)
}

/// Counts one more of `what` for `point`; when the table is full, it is counted as `loss` instead.
#[inline(always)]
pub(crate) fn tally(table: &'static Tallies, point: u64, what: u64, loss: Loss) {
    let key = Tally { point, what };
    if let Some(count) = table.get_ptr(&key) {
        // SAFETY: a map's value is there until the program ends (RCU); it is a cell.
        unsafe { &*count }.add(1);
    } else if table.insert(&key, Cell::new(1), u64::from(BPF_NOEXIST)).is_err() {
        // Another CPU may have inserted it in the meantime.
        match table.get_ptr(&key) {
            // SAFETY: as above.
            Some(count) => unsafe { &*count }.add(1),
            None => lost(loss),
        }
    }
}

/// A client's handshake is complete: stores its own address and port.
#[inline(always)]
pub(crate) fn called(key: &FlowKey, sk: Sock, tcp: Tcp) {
    let leg = Leg {
        address: sk.own_address(),
        netns: key.netns,
        port: tcp.own_port(),
        reserved: 0,
    };
    // An LRU map: the insertion always succeeds, and may evict the oldest entry.
    let _ = LEGS.insert(&leg, key, 0);
}

/// A server's handshake is complete: if its client was just seen in the same namespace, and one of the two belongs to a point, the
/// flow of the other one was carried by that point. Called before the server's flow is counted as opened, so that no reading shows
/// it opened but not carried.
#[inline(always)]
pub(crate) fn answered(key: &FlowKey, sk: Sock, own: &Flow) {
    let leg = Leg {
        address: key.peer,
        netns: key.netns,
        port: sk.peer_port(),
        reserved: 0,
    };
    let Some(client) = LEGS.get_ptr(&leg) else { return };
    // SAFETY: map values live until the program ends (RCU). A value that was replaced meanwhile would belong to another client with
    // the same address and port, which cannot exist.
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
    // Two cgroups that carry the same flow at the same time are instances of one point.
    flow.carrier.set(by);
    flow.carried.add(1);
}

/// Since when a connection of a point has been there, in nanoseconds of `CLOCK_MONOTONIC`: since its first data, or since its record was
/// made at `record_ns`, a tick later at most. 0: not known.
#[inline(always)]
pub(crate) fn since(exchange: Option<&Exchange>, record_ns: u64) -> u64 {
    let first = exchange.map_or(0, |exchange| exchange.since_ns.get());
    match (first, record_ns) {
        (0, since) | (since, 0) => since,
        (first, record) => first.min(record),
    }
}

impl Sock {
    /// The exchange of this socket, if it has one.
    #[inline(always)]
    pub(crate) fn exchange(self) -> Option<&'static Exchange> {
        if self.has_no_storage() {
            return None;
        }
        exchange(self, 0).filter(|exchange| exchange.ready.get() != 0)
    }

    /// The exchange of this socket, created if it has none. Call it for connections of points only.
    #[inline(always)]
    pub(crate) fn exchange_or_new(self, now: u64) -> Option<&'static Exchange> {
        match self.exchange() {
            None => new_exchange(self, now),
            found => found,
        }
    }

    /// The path of this socket, which a point has opened.
    #[inline(always)]
    pub(crate) fn path(self) -> Option<&'static Path> {
        // SAFETY: no arguments.
        let now = unsafe { bpf_ktime_get_ns() };
        self.exchange_or_new(now).map(|exchange| &exchange.path)
    }

    /// The current CPU's counters of the owner's cgroup, if the owner is a point. `None` for sockets of other families, which use
    /// the same hooks, and for those of other owners: most sockets are, so this is checked first.
    #[inline(always)]
    pub(crate) fn point(self) -> Option<&'static PointCounters> {
        if !self.is_ip() {
            return None;
        }
        counters(self.cgroup())
    }
}

#[inline(never)]
fn new_exchange(sk: Sock, now: u64) -> Option<&'static Exchange> {
    // Before the socket has storage that would have to be searched.
    let (mut role, mut is_new) = (sk.role() as u32, true);
    if let Some(socket) = sk.record().filter(|socket| socket.is_live()) {
        role = socket.role().into();
        is_new = !socket.has(Socket::ADOPTED);
    }
    let Some(new) = get_or_retry(|| exchange(sk, u64::from(BPF_SK_STORAGE_GET_F_CREATE))) else {
        lost(Loss::Delays);
        return None;
    };
    if new.ready.get() == 0 {
        new.since_ns.set(now);
        new.role.set(role);
        if role == Role::Client as u32 {
            new.path.begin(sk, is_new);
        }
        new.ready.set(1);
    }
    Some(new)
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
