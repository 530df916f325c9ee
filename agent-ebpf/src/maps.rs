//! What lasts between events.

use crate::atomic::or32;
use agent_common::{Control, Flow, FlowKey, Loss, Offsets, Role, Settings};
use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use core::ptr::read_volatile;

/// What is kept with an open socket; the kernel frees it with the socket.
///
/// A record costs five times as much as everything else that is done for a short connection, so most connections never
/// have one: what they carried is read from the socket when it closes. A record is made for what is still open at a
/// tick, and in the few cases where the socket itself does not tell what must be known.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    /// Where it is counted.
    pub(crate) key: FlowKey,
    /// When it was first seen, or its first SYN went out; boot clock. 0: not known.
    pub(crate) since_ns: u64,
    /// What of its counters is in the flow already.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) retransmits: u32,
    pub(crate) drops: u32,
    /// Of a listener: SYNs that came again, which are among its socket's drops, and are none.
    pub(crate) repeated: u32,
    pub(crate) reserved: u32,
    /// 1 when an adopted connection is in its flow's `adopted`, a listener in its `opened`.
    pub(crate) counted: u32,
    /// 1 when it reached CLOSE.
    pub(crate) closed: u32,
    /// [`Socket::READY`] and others.
    pub(crate) flags: u32,
    /// One more than the [`agent_common::Reason`] it was counted under when it closed, or [`Socket::CLEAN`].
    pub(crate) outcome: u32,
    /// When something waited to be read, or to be acknowledged, as the sampler last saw it: one more than how far it was.
    pub(crate) read_to: u64,
    pub(crate) acknowledged_to: u64,
}

impl Socket {
    /// It was open when the agent started.
    pub(crate) const ADOPTED: u32 = 1;
    /// This end sent a reset.
    pub(crate) const RESET_SENT: u32 = 2;
    /// The record is filled in.
    pub(crate) const READY: u32 = 4;
    /// It ended without a failure.
    pub(crate) const CLEAN: u32 = 0;

    /// Fills in a record that is new, or whose socket was disconnected and is used again (`tcp_disconnect` sets its
    /// counters back, and so do we).
    ///
    /// Field by field, as the kernel hands out zeroed memory, and a zeroed copy on the stack would cost a byte loop.
    /// READY comes last and with a barrier: the sampler looks at no other records.
    #[inline(always)]
    pub(crate) fn begin(&mut self, key: FlowKey, since_ns: u64, flags: u32) {
        if self.closed != 0 {
            (self.sent, self.received, self.retransmits, self.drops, self.repeated) = (0, 0, 0, 0, 0);
            (self.counted, self.closed, self.flags, self.outcome) = (0, 0, 0, Self::CLEAN);
        }
        self.key = key;
        self.since_ns = since_ns;
        or32(&mut self.flags, flags | Self::READY);
    }

    /// Whether the record is filled in and its socket in use.
    #[inline(always)]
    pub(crate) fn is_live(&self) -> bool {
        self.flags & Self::READY != 0 && self.closed == 0
    }
}

/// Records of open sockets.
#[btf_map]
pub(crate) static SOCKETS: SkStorage<Socket> = SkStorage::new();

/// Counters by owner, place, role, peer and port. Not preallocated: memory follows use, and updates cost the same.
#[map]
pub(crate) static FLOWS: HashMap<FlowKey, Flow> = HashMap::with_max_entries(65_536, BPF_F_NO_PREALLOC);

/// Where an owner's connections are counted when `FLOWS` is full: no peer, no port. Preallocated, so that it is there
/// when memory is not.
#[map]
pub(crate) static OVERFLOW: HashMap<FlowKey, Flow> = HashMap::with_max_entries(4_096, 0);

/// Where connections are counted when `OVERFLOW` is full too: by role alone.
#[map]
pub(crate) static TOTALS: Array<Flow> = Array::with_max_entries(Role::COUNT, 0);

/// One flow of zeros, to insert from: it is too large for the stack.
#[map]
pub(crate) static ZERO: Array<Flow> = Array::with_max_entries(1, 0);

/// One word of [`Control`] bits, which the agent sets when it has attached what they stand for.
#[map]
static CONTROL: Array<u32> = Array::with_max_entries(1, 0);

/// Whether the agent has set a bit.
#[inline(always)]
pub(crate) fn control(bit: Control) -> bool {
    // SAFETY: an aligned word that the agent writes.
    CONTROL
        .get_ptr(0)
        .is_some_and(|bits| unsafe { read_volatile(bits) } & bit as u32 != 0)
}

/// Whether every new connection must get a record at once.
#[inline(always)]
pub(crate) fn record_at_once() -> bool {
    !control(Control::OpenSocketsAreFound)
}

/// Whether the `reset` program tells of resets that this end sends.
#[inline(always)]
pub(crate) fn resets_are_seen() -> bool {
    control(Control::ResetsAreSeen)
}

/// Failure events, to the agent.
#[map]
pub(crate) static FAILURES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Cgroups that came and went, to the agent.
#[map]
pub(crate) static CGROUPS: RingBuf = RingBuf::with_byte_size(1 << 18, 0);

/// What was lost, by [`Loss`].
#[map]
static LOSS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Loss::ALL.len() as u32, 0);

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

/// The entry of `OFFSETS` at `place`. A volatile read, as the compiler must not fold the placeholder in; the verifier
/// then folds the frozen value.
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

/// Counts a loss.
#[inline(always)]
pub(crate) fn lost(what: Loss) {
    if let Some(n) = LOSS.get_ptr_mut(what as u32) {
        // SAFETY: this processor's own slot, and programs on it do not preempt each other here.
        unsafe { *n += 1 };
    }
}
