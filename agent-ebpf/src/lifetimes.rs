//! How long connections of points live, at their end and at each walk over open files, and which thread serves them.

use crate::{
    cell::Cell,
    ending::Ending,
    maps::lost,
    points::{self, Backlog, Exchange, PointCounters, side},
    record::Socket,
    sock::Sock,
    state,
    verifier::{element, unknown},
};
use agent_common::{AGES, AgeKey, Loss, Role, STATES, age_class};
use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::HashMap,
};

type FlowAges = agent_common::FlowAges<Cell<u32>>;

/// The ages of the connections of points, by flow and process. The agent removes what its last walk has not met.
#[map]
static FLOW_AGES: HashMap<AgeKey, FlowAges> = HashMap::with_max_entries(8_192, BPF_F_NO_PREALLOC);

/// A connection of a point has ended: counts how long it lived. One that carried no data, and that no walk has met, counts as 0: when
/// it began is not known, but it was less than a tick ago.
#[inline(always)]
pub(crate) fn ended(ending: &Ending, counters: &PointCounters, exchange: Option<&Exchange>) {
    let side = side(u32::from(ending.role));
    let lived = elapsed(points::since(exchange, ending.since_ns));
    counters.lifetimes.sum_ms[side].add(lived / 1_000_000);
    element(&counters.lifetimes.ended[side], class_of(lived)).add(1);
}

/// A walk, by its number, has met an open connection of a point in a process.
#[inline(always)]
pub(crate) fn met(sk: Sock, socket: &Socket, (number, process): (u32, u32), backlog: &Backlog) {
    let exchange = sk.exchange();
    let class = class_of(elapsed(points::since(exchange, socket.since_ns.get())));
    let key = socket.key.get();
    element(&backlog.ages[side(u32::from(key.role))], class).add(1);
    if key.role == Role::Server as u8
        && let Some(exchange) = exchange
    {
        read_by(exchange.reader.get(), number);
    }
    if key.role == Role::Client as u8
        && let Some(exchange) = exchange
    {
        exchange.path.met();
    }
    let key = AgeKey {
        flow: key,
        process,
        reserved: 0,
    };
    let Some(ages) = ages_of(&key) else {
        lost(Loss::Ages);
        return;
    };
    start(ages, number);
    element(&ages.open, class).add(1);
    match sk.state() {
        state::CLOSE_WAIT => ages.half_closed[0].add(1),
        state::FIN_WAIT2 => ages.half_closed[1].add(1),
        _ => {}
    }
}

/// A walk has met a socket of a point that was reset or has ended, and that its process has not closed.
#[inline(always)]
pub(crate) fn met_closed(socket: &Socket, backlog: &Backlog) {
    let side = side(u32::from(socket.role()));
    backlog.states[side][state::CLOSE as usize & (STATES - 1)].add(1);
}

/// A walk has met a connection that the point had accepted, and from which this thread has read last.
#[inline(always)]
fn read_by(thread: u32, walk: u32) {
    if thread == 0 {
        return;
    }
    let Some(task) = points::task(thread) else { return };
    if task.walk.get() != walk {
        task.connections.set(0);
        task.walk.set(walk);
    }
    task.connections.add(1);
}

/// The class of an age in nanoseconds: see [`age_class`].
#[inline(always)]
fn class_of(ns: u64) -> u32 {
    unknown(age_class(ns) as u32)
}

/// The time since then, in nanoseconds; 0 if that is not known.
#[inline(always)]
fn elapsed(since: u64) -> u64 {
    if since == 0 {
        return 0;
    }
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_ns() }.saturating_sub(since)
}

#[inline(always)]
fn ages_of(key: &AgeKey) -> Option<&'static FlowAges> {
    if FLOW_AGES.get_ptr(key).is_none() {
        let none = FlowAges {
            walk: Cell::new(0),
            open: [const { Cell::new(0) }; AGES],
            half_closed: [const { Cell::new(0) }; 2],
        };
        let _ = FLOW_AGES.insert(key, &none, u64::from(BPF_NOEXIST));
    }
    // SAFETY: a map's value is there until the program ends (RCU); it is made of cells.
    FLOW_AGES.get_ptr(key).map(|ages| unsafe { &*ages })
}

/// There is one walk at a time, so the first connection that it meets may reset what the last walk found.
#[inline(always)]
fn start(ages: &FlowAges, walk: u32) {
    if ages.walk.get() != walk {
        // A loop over both would compare pointers, which the verifier does not follow.
        for count in &ages.open {
            count.set(0);
        }
        for count in &ages.half_closed {
            count.set(0);
        }
        ages.walk.set(walk);
    }
}
