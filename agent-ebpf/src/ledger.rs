//! Which changes of state have been handled, so that each is handled exactly once although the kernel leaves out runs.
//!
//! Since Linux 6.1 the kernel does not run a program that is active on the same processor (`bpf_trace_run`, `prog->active`): a
//! softirq that interrupts the life-cycle program would lose every change of state that it makes. So there are two programs at that
//! tracepoint. The first handles a change and notes it here; its twin, which the kernel runs right after it, takes the note back,
//! or handles the change itself when there is none. Only one of the two can be the one that was interrupted, so one always runs.
//!
//! The notes of a processor are a stack, as interrupts are: those of an interrupt are taken back before what it interrupted goes
//! on. But an interrupt of the twin itself leaves some: there the first program handles everything, and the twin is not run. Those
//! that lie above a note that is taken back go with it. One that comes between the twin's last instruction and the kernel's
//! noticing that it has ended stays, until the ring of notes comes round to it; so a note must never look like another change.
//! Addresses of sockets are used again at once. Their `sk_txhash`, a random number for each connection, is not.
//!
//! Notes also let other programs take over without a gap (`agent/src/kernel/handover.rs`): while they do, every twin leaves the note
//! of what has been handled, by itself, too, for the twin that comes next.

use crate::{
    cell::Cell,
    maps::control,
    sock::{Sock, state},
};
use agent_common::Control;
use aya_ebpf::{macros::map, maps::PerCpuArray};

/// Notes that a processor has room for; a power of two. More than one round of a softirq changes states, as it may interrupt the
/// twin before it has taken its own note back.
const NOTES: usize = 128;

/// A note: which socket, and which change of it.
#[repr(C)]
struct Note {
    sk: Cell<u64>,
    change: Cell<u64>,
}

/// The notes of a processor, and how many were ever left there.
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

    /// Whether a listener's child is made (`inet_csk_clone_lock`): before the connection has its number.
    #[inline(always)]
    fn is_birth(self) -> bool {
        self.change as u8 == state::SYN_RECV as u8
    }
}

#[inline(always)]
fn ledger() -> Option<&'static Ledger> {
    // SAFETY: elements of an array are there for as long as the program; made of cells.
    LEDGER.get_ptr(0).map(|ledger| unsafe { &*ledger })
}

impl Ledger {
    #[inline(always)]
    fn note(&self, place: u64) -> &Note {
        &self.notes[place as usize & (NOTES - 1)]
    }
}

/// Notes a change that has been handled, for the twin that comes next.
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

/// What the twin finds.
pub(crate) enum Found {
    /// The change has been handled. Interrupts of the twin leave notes: call [`Handled::forget`] last.
    Handled(Handled),
    /// It has, and the note stays for the twin that comes next.
    Left,
    /// It has not, and is the twin's to handle.
    Missed,
}

/// The place of a note that was taken back.
pub(crate) struct Handled {
    ledger: &'static Ledger,
    place: u64,
}

impl Handled {
    /// Takes off what an interrupt of the twin has left.
    #[inline(always)]
    pub(crate) fn forget(&self) {
        self.ledger.top.set(self.place);
    }
}

/// Takes back the note of a change.
#[inline(always)]
pub(crate) fn take_back(change: Change) -> Found {
    if let Some(ledger) = ledger() {
        let top = ledger.top.get();
        // Nearly always the topmost. A child that is just being made has no number yet, and is made by a softirq, in which nothing is
        // left above its note.
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
        // SAFETY: an element of an array is there for as long as the program; a cell.
        unsafe { &*caught }.add(1);
    }
    Found::Missed
}
