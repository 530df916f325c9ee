//! Notes of the state changes that have been handled, so that each is handled exactly once although the kernel skips runs.
//!
//! Since Linux 6.1 the kernel does not run a program that is already active on the same CPU (`bpf_trace_run`, `prog->active`): when
//! a softirq interrupts the life-cycle program, all state changes in that softirq would be lost. So there are two programs at the
//! tracepoint. The first handles a change and notes it here; its twin, which the kernel runs right after it, removes the note, or
//! handles the change itself when there is no note. Only one of the two can be the interrupted program, so the other one runs.
//!
//! The notes of a CPU form a stack, as interrupts nest: the notes of an interrupt are removed before the interrupted code
//! continues. But an interrupt of the twin itself leaves some: there the first program handles everything, and the twin is skipped.
//! Notes above one that is removed are removed with it. A note from an interrupt between the twin's last instruction and the moment
//! when the kernel marks it as inactive stays, until the ring of notes wraps around; so a note must never match another change.
//! The kernel reuses addresses of sockets at once; it does not reuse their `sk_txhash`, a random number for each connection.
//!
//! Notes also allow the programs of another agent to take over without a gap (`agent/src/kernel/handover.rs`): during the handover
//! every twin leaves a note of each handled change, including those that it handled itself, for the next twin.

use crate::{cell::Cell, maps::control, sock::Sock, state};
use agent_common::Control;
use aya_ebpf::{macros::map, maps::PerCpuArray};

/// Number of notes per CPU; a power of two. It exceeds the number of state changes in one round of a softirq, which may interrupt
/// the twin before the twin has removed its own note.
const NOTES: usize = 128;

/// A note: the socket, and its state change.
#[repr(C)]
struct Note {
    sk: Cell<u64>,
    change: Cell<u64>,
}

/// The notes of a CPU, and how many were ever written.
#[repr(C)]
struct Ledger {
    notes: [Note; NOTES],
    top: Cell<u64>,
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
    change: u64,
}

impl Change {
    #[inline(always)]
    pub(crate) fn new(sk: Sock, old: i32, new: i32) -> Self {
        Self {
            sk: sk.as_ptr() as u64,
            change: u64::from(sk.number()) << 32 | u64::from(old as u8) << 8 | u64::from(new as u8),
        }
    }

    /// Whether a listener's child is being created (`inet_csk_clone_lock`): the connection has no `sk_txhash` yet.
    #[inline(always)]
    fn is_birth(self) -> bool {
        self.change as u8 == state::SYN_RECV as u8
    }
}

#[inline(always)]
fn ledger() -> Option<&'static Ledger> {
    // SAFETY: elements of an array live as long as the program; made of cells.
    LEDGER.get_ptr(0).map(|ledger| unsafe { &*ledger })
}

impl Ledger {
    #[inline(always)]
    fn note(&self, place: u64) -> &Note {
        &self.notes[place as usize & (NOTES - 1)]
    }
}

/// Notes a change that has been handled, for the next twin.
#[inline(always)]
pub(crate) fn note(change: Change) {
    if !control(Control::TwinIsHere) {
        return;
    }
    let Some(ledger) = ledger() else { return };
    let top = ledger.top.get();
    let note = ledger.note(top);
    note.sk.set(change.sk);
    note.change.set(change.change);
    ledger.top.set(top + 1);
}

/// The twin's result of looking up a change.
pub(crate) enum Found {
    /// The change has been handled, and its note is removed. Interrupts of the twin leave notes: call [`Handled::forget`] last.
    Handled(Handled),
    /// The change has been handled, and the note stays for the next twin.
    Left,
    /// The change has not been handled: the twin must handle it.
    Missed,
}

/// The position of a note that was removed.
pub(crate) struct Handled {
    ledger: &'static Ledger,
    place: u64,
}

impl Handled {
    /// Removes the notes that interrupts of the twin have left.
    #[inline(always)]
    pub(crate) fn forget(&self) {
        self.ledger.top.set(self.place);
    }
}

/// Removes the note of a change, if there is one.
#[inline(always)]
pub(crate) fn take_back(change: Change) -> Found {
    if let Some(ledger) = ledger() {
        let top = ledger.top.get();
        // Nearly always the topmost note. A child that is being created has no `sk_txhash` yet, and is created in a softirq, which
        // leaves nothing above its note.
        let depth = if change.is_birth() { 2 } else { NOTES as u64 };
        for down in 1..NOTES as u64 {
            if down >= depth {
                break;
            }
            let place = top.wrapping_sub(down);
            let note = ledger.note(place);
            if note.sk.get() == change.sk && note.change.get() == change.change {
                if control(Control::HandsOver) {
                    return Found::Left;
                }
                note.sk.set(0);
                let handled = Handled { ledger, place };
                handled.forget();
                return Found::Handled(handled);
            }
        }
    }
    if let Some(caught) = CAUGHT.get_ptr(0) {
        // SAFETY: an element of an array lives as long as the program; a cell.
        unsafe { &*caught }.add(1);
    }
    Found::Missed
}
