//! Maps and globals: the state that is kept between events.

use crate::cell::Cell;
use agent_common::{Control, FlowKey, Loss, Offsets, Role, Settings};
use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use core::ptr::read_volatile;

/// A flow's counters as the programs write them, made of cells.
pub(crate) type Flow = agent_common::Flow<Cell<u64>, Cell<u32>>;

/// The number of records (`record`) of open sockets.
#[map]
static RECORDS: Array<Cell<u64>> = Array::with_max_entries(1, 0);

/// Counters by owner, network namespace, role, peer and port. Not preallocated: memory is allocated as needed, and updates cost the
/// same.
#[map]
pub(crate) static FLOWS: HashMap<FlowKey, Flow> = HashMap::with_max_entries(65_536, BPF_F_NO_PREALLOC);

/// How many flows of [`FLOWS`] an owner (cgroup) has. The agent corrects the number after it has removed flows, so it may be off by
/// those that were added meanwhile.
#[map]
pub(crate) static OWNERS: HashMap<u64, Cell<u64>> = HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);

/// Where an owner's connections are counted when `FLOWS` is full: without peer and port. Preallocated, so that it is
/// available when memory is short.
#[map]
pub(crate) static OVERFLOW: HashMap<FlowKey, Flow> = HashMap::with_max_entries(4_096, 0);

/// Where connections are counted when `OVERFLOW` is full too: by role alone.
#[map]
pub(crate) static TOTALS: Array<Flow> = Array::with_max_entries(Role::COUNT, 0);

/// A flow of zeros, the initial value of new entries: it is too large for the stack.
#[map]
static ZERO: Array<Flow> = Array::with_max_entries(1, 0);

/// The flow of zeros.
#[inline(always)]
pub(crate) fn zero() -> Option<&'static Flow> {
    only(&ZERO)
}

type ControlBlock = agent_common::ControlBlock<Cell<u64>, Cell<u32>>;

/// Settings that the agent changes while the programs run.
#[map]
static CONTROL: Array<ControlBlock> = Array::with_max_entries(1, 0);

/// The number of the current walk over open files, which the agent sets before each walk, and how many sockets with a record
/// the walk has visited.
#[map]
static WALK: Array<Cell<u64>> = Array::with_max_entries(2, 0);

/// The element of an array of one.
#[inline(always)]
fn only<T>(array: &'static Array<T>) -> Option<&'static T> {
    // SAFETY: elements of an array live as long as the program; `T` is made of cells.
    array.get_ptr(0).map(|value| unsafe { &*value })
}

/// Whether the agent has set a bit.
#[inline(always)]
pub(crate) fn control(bit: Control) -> bool {
    only(&CONTROL).is_some_and(|control| control.bits.get() & bit as u32 != 0)
}

/// Whether the programs count at all: not before the agent has started counting, nor when no agent has run for too long.
#[inline(always)]
pub(crate) fn is_counting() -> bool {
    only(&CONTROL).is_some_and(|control| control.epoch.get() != 0)
}

/// Whether this program counts, rather than one of another epoch at the same hook.
#[inline(always)]
pub(crate) fn is_on_duty() -> bool {
    only(&CONTROL).is_some_and(|control| control.epoch.get() == settings().epoch)
}

/// Stops all counting when no agent has run for too long, as nothing reads the counters.
#[inline(never)]
pub(crate) fn stop_when_orphaned() {
    let Some(control) = only(&CONTROL) else { return };
    // SAFETY: no arguments.
    if unsafe { bpf_ktime_get_ns() } > control.until_ns.get() {
        control.epoch.set(0);
        control.bits.set(0);
    }
}

/// Whether every new connection must get a record as soon as it is established.
#[inline(always)]
pub(crate) fn record_at_once() -> bool {
    !control(Control::OpenSocketsAreFound)
}

/// Whether the `reset` program reports resets that this end sends.
#[inline(always)]
pub(crate) fn resets_are_seen() -> bool {
    control(Control::ResetsAreSeen)
}

/// The number of the current walk.
#[inline(always)]
pub(crate) fn walk_number() -> u32 {
    only(&WALK).map_or(0, |number| number.get() as u32)
}

/// Counts a socket that the walk has visited.
#[inline(always)]
pub(crate) fn walk_met_one() {
    if let Some(met) = WALK.get_ptr(1) {
        // SAFETY: elements of an array live as long as the program; a cell.
        unsafe { &*met }.add(1);
    }
}

/// The current number of records of open sockets.
#[inline(always)]
pub(crate) fn records() -> Option<&'static Cell<u64>> {
    only(&RECORDS)
}

/// Failure events, to the agent.
#[map]
pub(crate) static FAILURES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Events about created and removed cgroups, to the agent.
#[map]
pub(crate) static CGROUPS: RingBuf = RingBuf::with_byte_size(1 << 18, 0);

/// What was lost, by [`Loss`].
#[map]
static LOSS: PerCpuArray<Cell<u64>> = PerCpuArray::with_max_entries(Loss::ALL.len() as u32, 0);

/// Kernel field offsets; set and frozen before the programs load.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::NONE;

#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings::DEFAULT;

/// The offset of a kernel field.
macro_rules! offset {
    ($field:ident) => {
        $crate::maps::offset_at(core::mem::offset_of!(agent_common::Offsets, $field))
    };
}
pub(crate) use offset;

/// The entry of `OFFSETS` at `place`, in bytes. A volatile read, as the compiler must not use the placeholder as a constant; the
/// verifier treats the frozen value as one.
#[inline(always)]
pub(crate) fn offset_at(place: usize) -> u32 {
    // SAFETY: `place` comes from `offset_of!`, and every field is a u32.
    unsafe { read_volatile((&raw const OFFSETS).cast::<u8>().add(place).cast()) }
}

#[inline(always)]
pub(crate) fn settings() -> Settings {
    // SAFETY: a plain static of integers.
    unsafe { read_volatile(&raw const SETTINGS) }
}

/// Adds 1 to the counter of a loss.
#[inline(always)]
pub(crate) fn lost(what: Loss) {
    if let Some(n) = LOSS.get_ptr(what as u32) {
        // SAFETY: elements of an array live as long as the program; atomic, as a program may interrupt another one.
        unsafe { &*n }.add(1);
    }
}
