//! Which changes of state have been handled, so that each is handled exactly once although the kernel leaves out runs.
//!
//! Since Linux 6.1 the kernel does not run a program that is active on the same processor (`bpf_trace_run`, `prog->active`): a
//! softirq that interrupts the life-cycle program would lose every change of state that it makes. So there are two programs at that
//! tracepoint. The first handles a change and notes it here; its twin, which the kernel runs right after it, takes the note back,
//! or handles the change itself when there is none. Only one of the two can be the one that was interrupted, so one always runs.
//!
//! The notes of a processor are a stack, as interrupts are: those of an interrupt are taken back before what it interrupted goes
//! on, or belong to runs of the twin that the kernel left out. What lies above a note that is taken back is such a rest.

use crate::{cell::Cell, maps::control};
use agent_common::Control;
use aya_ebpf::{macros::map, maps::PerCpuArray};

/// Notes that a processor has room for; a power of two. Interrupts of interrupts of a program go no deeper than 4.
const NOTES: usize = 8;

/// A change of state: which socket, from which state to which.
#[repr(C)]
struct Note {
    sk: Cell<u64>,
    change: Cell<u64>,
}

/// The notes of a processor, and how many there are.
#[repr(C)]
struct Ledger {
    notes: [Note; NOTES],
    depth: Cell<u64>,
}

#[map]
static LEDGER: PerCpuArray<Ledger> = PerCpuArray::with_max_entries(1, 0);

/// Changes of state that the twin has handled.
#[map]
static CAUGHT: PerCpuArray<Cell<u64>> = PerCpuArray::with_max_entries(1, 0);

/// A change of state, as it is noted.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    sk: u64,
    states: u64,
}

impl Change {
    #[inline(always)]
    pub(crate) fn new(sk: *const u8, old: i32, new: i32) -> Self {
        Self {
            sk: sk as u64,
            states: (old as u64) << 32 | new as u32 as u64,
        }
    }

    #[inline(always)]
    fn is(self, note: &Note) -> bool {
        note.sk.get() == self.sk && note.change.get() == self.states
    }
}

#[inline(always)]
fn ledger() -> Option<&'static Ledger> {
    // SAFETY: elements of an array are there for as long as the program; made of cells.
    LEDGER.get_ptr(0).map(|ledger| unsafe { &*ledger })
}

/// Notes a change that has been handled, for the twin that comes next.
#[inline(always)]
pub(crate) fn note(change: Change) {
    if !control(Control::TwinIsHere) {
        return;
    }
    let Some(ledger) = ledger() else { return };
    let depth = ledger.depth.get() as usize;
    // A full stack holds rests, as nothing is nested so deeply; the topmost gives way.
    let place = if depth < NOTES { depth } else { NOTES - 1 };
    let note = &ledger.notes[place & (NOTES - 1)];
    note.sk.set(change.sk);
    note.change.set(change.states);
    ledger.depth.set(place as u64 + 1);
}

/// What the twin finds.
pub(crate) enum Found {
    /// The change has been handled. What was noted after it is left over at the end, too: call [`Handled::forget`] then.
    Handled(Handled),
    /// It has not, and is the twin's to handle.
    Missed,
    /// Nothing is to be done: it is not known yet, as the programs have just been attached.
    Unknown,
}

/// The depth that the stack had before a note.
pub(crate) struct Handled {
    ledger: &'static Ledger,
    depth: u64,
}

impl Handled {
    /// Takes off what an interrupt of the twin has left: of its changes, the first program has handled all, and the twin was not
    /// run to take the notes back.
    #[inline(always)]
    pub(crate) fn forget(&self) {
        self.ledger.depth.set(self.depth);
    }
}

/// Takes back the note of a change.
#[inline(always)]
pub(crate) fn take_back(change: Change) -> Found {
    if !control(Control::TwinIsHere) {
        return Found::Unknown;
    }
    let Some(ledger) = ledger() else {
        return Found::Unknown;
    };
    let depth = ledger.depth.get() as usize;
    // Nearly always the topmost.
    for down in 1..=NOTES {
        if down > depth {
            break;
        }
        let place = (depth - down) & (NOTES - 1);
        if change.is(&ledger.notes[place]) {
            let handled = Handled {
                ledger,
                depth: place as u64,
            };
            handled.forget();
            return Found::Handled(handled);
        }
    }
    if control(Control::TwinHandles) {
        if let Some(caught) = CAUGHT.get_ptr(0) {
            // SAFETY: an element of an array is there for as long as the program; a cell.
            unsafe { &*caught }.add(1);
        }
        Found::Missed
    } else {
        Found::Unknown
    }
}
