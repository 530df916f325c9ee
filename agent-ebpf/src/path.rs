//! Whose traffic a connection of a point carries, and the counts by caller and destination.

use crate::{
    cell::Cell,
    maps::lost,
    outcome::Outcome,
    reads::{Read, Reads},
    sock::Sock,
};
use agent_common::{Caller, Certainty, Loss, PathKey};
use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::{Array, HashMap},
};
use core::ptr::{read_volatile, write_volatile};

type PathCounts = agent_common::PathCounts<Cell<u64>>;

/// Counts by caller and destination. The agent removes those of generations that are over.
#[map]
static PATHS: HashMap<PathKey, PathCounts> = HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);

/// No counts, the initial value of new entries.
#[map]
static NO_PATH: Array<PathCounts> = Array::with_max_entries(1, 0);

/// The generation in which programs count.
#[map]
static PATH_GENERATION: Array<Cell<u32>> = Array::with_max_entries(1, 0);

/// What a connection of a point carries, as far as it is known: part of its [`Exchange`]. All but `from` is for connections that the
/// point has opened.
#[repr(C)]
pub(crate) struct Path {
    /// What it is counted by: its destination, and whose traffic it carries; of a pooled connection, the last one's.
    key: Cell<PathKey>,
    /// The address of that caller's socket in the kernel; of a connection that the point has accepted, its own.
    pub(crate) from: Cell<u64>,
    /// Turns that are not among the counts yet: a look-up for each costs as much as all else that is done for it. Their number is in
    /// the lower half; the upper half changes whenever the key may, so that a walk counts none for a caller that they are not of.
    pending: Cell<u64>,
    /// 1 when it was opened before its caller had sent anything: it is that caller's for good.
    pub(crate) is_bound: Cell<u32>,
    /// 1 until it is counted: for a connection that was seen to begin.
    pub(crate) is_new: Cell<u32>,
    /// The thread that opened it for a caller whose data it had read, until the connection carries data; else 0.
    opener: Cell<u32>,
    reserved: Cell<u32>,
}

/// Writes a field of a path's key. (A structure as a whole would be copied over the stack.)
macro_rules! set {
    ($path:expr, $field:ident, $value:expr) => {
        // SAFETY: a field of a cell.
        unsafe { write_volatile(&raw mut (*$path.key.as_ptr()).$field, $value) }
    };
}

impl Path {
    /// Of a connection that a point opens, or has opened: nobody's so far. `is_new`: since the agent has counted.
    #[inline(always)]
    pub(crate) fn begin(&self, sk: Sock, is_new: bool) {
        let (cgroup, netns) = sk.owner();
        set!(self, cgroup, cgroup);
        set!(self, netns, netns);
        set!(self, own, sk.own_address());
        set!(self, peer, sk.peer_address());
        set!(self, port, sk.peer_port());
        set!(self, caller, Caller::NOBODY);
        self.set_certainty(Certainty::Unknown);
        self.from.set(0);
        self.pending.set(next_caller(self.pending.get()));
        self.opener.set(0);
        self.is_bound.set(0);
        self.is_new.set(u32::from(is_new));
    }

    #[inline(always)]
    pub(crate) fn set_certainty(&self, certainty: Certainty) {
        set!(self, certainty, certainty as u16);
    }

    /// The number of a [`Certainty`].
    #[inline(always)]
    pub(crate) fn certainty(&self) -> u16 {
        // SAFETY: a field of a cell.
        unsafe { read_volatile(&raw const (*self.key.as_ptr()).certainty) }
    }

    /// Whose traffic it carries, and the number of a [`Certainty`].
    #[inline(always)]
    pub(crate) fn caller(&self) -> (Caller, u8) {
        // SAFETY: a field of a cell.
        let caller = unsafe { read_volatile(&raw const (*self.key.as_ptr()).caller) };
        (caller, self.certainty() as u8)
    }

    /// Whether it carries data of this connection's caller already.
    #[inline(always)]
    pub(crate) fn is_of(&self, read: &Read) -> bool {
        const WORDS: usize = size_of::<Caller>() / size_of::<u64>();
        // SAFETY: fields of cells, of 24 bytes and aligned to 8.
        let (own, other) = unsafe {
            (
                read_volatile((&raw const (*self.key.as_ptr()).caller).cast::<[u64; WORDS]>()),
                read_volatile(read.caller.as_ptr().cast::<[u64; WORDS]>()),
            )
        };
        own.iter().zip(&other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }

    /// It carries data of this connection.
    #[inline(always)]
    pub(crate) fn carry(&self, read: &Read) {
        set!(self, caller, read.caller.get());
        self.from.set(read.socket.get());
    }

    /// It carries what was read from the connection at this place, which so waits no longer.
    #[inline(always)]
    pub(crate) fn take(&self, reads: &Reads, place: u64) {
        self.carry(reads.waiting(place));
        reads.done(place);
    }

    /// A thread opens it for a caller whose data it has read. A pool of connections gives the first one that is ready to the first
    /// request that waits: while a thread opens several, they may be exchanged.
    #[inline(always)]
    pub(crate) fn open(&self, reads: &Reads, thread: u32) {
        self.opener.set(thread);
        let others = reads.opening.get();
        reads.opening.add(1);
        reads.may_be_exchanged.set(u32::from(others != 0));
    }

    /// It carries its first data.
    #[inline(always)]
    pub(crate) fn opened(&self, reads: &Reads) {
        self.is_new.set(0);
        if self.opener.get() == 0 {
            return;
        }
        self.opener.set(0);
        reads.one_less_opening();
        if reads.may_be_exchanged.get() != 0 && self.certainty() == Certainty::Certain as u16 {
            self.set_certainty(Certainty::Estimated);
        }
    }

    /// It has ended, or has failed, without data: the thread that it was opened by, if that waits for it.
    #[inline(always)]
    pub(crate) fn abandon(&self) -> Option<u32> {
        self.is_new.set(0);
        let opener = self.opener.get();
        self.opener.set(0);
        (opener != 0).then_some(opener)
    }

    /// Counts a failure; `by` is 1, or -1 when it was another reason.
    #[inline(always)]
    pub(crate) fn failed(&self, outcome: Outcome, by: u64) {
        if let Some(counts) = self.counts() {
            outcome.counter(&counts.failures).add(by);
        }
    }

    /// It carries another turn, which is counted later: before its caller changes, at its end, or by the next walk over open files.
    #[inline(always)]
    pub(crate) fn turn(&self) {
        self.pending.add(1);
    }

    /// Counts its turns so far, by the thread that writes to it; before its key changes.
    #[inline(never)]
    pub(crate) fn settle(&self) {
        let pending = self.pending.get();
        if turns(pending) == 0 {
            return;
        }
        // A walk may have counted them meanwhile.
        let turns = turns(self.pending.exchange(next_caller(pending)));
        if turns != 0
            && let Some(counts) = self.counts()
        {
            counts.turns.add(turns);
        }
    }

    /// Counts its turns so far, by a walk over open files.
    #[inline(always)]
    pub(crate) fn met(&self) {
        let pending = self.pending.get();
        if turns(pending) != 0 {
            self.settle_from_outside(pending);
        }
    }

    /// Not inlined: with this copy of the key, a walk would need more stack than it has.
    #[inline(never)]
    fn settle_from_outside(&self, pending: u64) {
        let mut key = self.key.get();
        key.generation = generation();
        // Else there are more, or they are counted, or the key is another one by now: the next walk sees.
        if self.pending.exchange_if(pending, pending - turns(pending))
            && let Some(counts) = counts_of(&key)
        {
            counts.turns.add(turns(pending));
        }
    }

    /// Its entry among the counts; a loss is counted when there is no room for it.
    #[inline(always)]
    pub(crate) fn counts(&self) -> Option<&'static PathCounts> {
        set!(self, generation, generation());
        // SAFETY: a cell; what is written to it meanwhile makes it another key.
        counts_of(unsafe { &*self.key.as_ptr() })
    }
}

/// The number of turns in [`Path::pending`].
#[inline(always)]
const fn turns(pending: u64) -> u64 {
    pending & u32::MAX as u64
}

/// [`Path::pending`] without turns, for another key.
#[inline(always)]
const fn next_caller(pending: u64) -> u64 {
    ((pending >> u32::BITS) + 1) << u32::BITS
}

/// The generation in which programs count.
#[inline(always)]
fn generation() -> u32 {
    // SAFETY: elements of an array live as long as the program; a cell.
    PATH_GENERATION.get_ptr(0).map_or(0, |now| unsafe { &*now }.get())
}

#[inline(never)]
fn counts_of(key: &PathKey) -> Option<&'static PathCounts> {
    if let Some(found) = PATHS.get_ptr(key) {
        // SAFETY: a map's value is there until the program ends (RCU); it is made of cells.
        return Some(unsafe { &*found });
    }
    // SAFETY: an element of an array lives as long as the program; no program writes to this one.
    let none = NO_PATH.get_ptr(0).map(|none| unsafe { &*none })?;
    let _ = PATHS.insert(key, none, u64::from(BPF_NOEXIST));
    // SAFETY: as above.
    let found = PATHS.get_ptr(key).map(|found| unsafe { &*found });
    if found.is_none() {
        lost(Loss::Paths);
    }
    found
}
