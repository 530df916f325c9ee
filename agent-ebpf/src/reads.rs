//! What threads of points have read and not forwarded yet.

use crate::{cell::Cell, sock::Sock};
use agent_common::{Caller, Certainty, READS_WORDS};
use core::arch::asm;

/// Connections whose data a thread may have to forward.
const WAITING: usize = 8;

/// Data is forwarded within this time, in nanoseconds: what is older was answered by the proxy itself, or its connection has ended.
const FORWARDED_NS: u64 = 1_000_000_000;

/// A connection that a thread has read from.
#[repr(C)]
pub(crate) struct Read {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`; 0 for none.
    pub(crate) at: Cell<u64>,
    /// The address of the socket in the kernel.
    pub(crate) socket: Cell<u64>,
    pub(crate) caller: Cell<Caller>,
}

impl Read {
    #[inline(always)]
    pub(crate) fn set(&self, at: u64, sk: Sock, caller: Caller) {
        self.at.set(at);
        self.socket.set(sk.as_ptr() as u64);
        self.caller.set(caller);
    }
}

/// The reads of one thread: part of its entry. Only that thread changes them, but for `opening`.
#[repr(C)]
pub(crate) struct Reads {
    /// The last connection that it has accepted or read from; none when it did something with another socket since.
    pub(crate) last: Read,
    /// Whether that read returned data: 0 or 1.
    pub(crate) with_data: Cell<u32>,
    /// Whether one of several was taken, or one was forgotten, since none was waiting: then even the last one left may be another.
    is_blurred: Cell<u32>,
    /// Connections that were opened for callers and carry no data yet.
    pub(crate) opening: Cell<u32>,
    /// Whether several of them were opened at the same time: 0 or 1.
    pub(crate) may_be_exchanged: Cell<u32>,
    /// Whether the proxy reads from several connections before it opens one for the first.
    pub(crate) in_batches: Cell<u32>,
    /// At least as many as wait: some may be too old by now. When it is 1, and the first place has one that waits, that is all.
    most: Cell<u32>,
    /// Connections whose data is not forwarded yet.
    waiting: [Read; WAITING],
}

const _: () = assert!(size_of::<Reads>() == READS_WORDS * size_of::<u64>());

/// The waiting reads of a thread at a glance.
#[derive(Clone, Copy)]
pub(crate) struct Glance {
    /// How many there are.
    pub(crate) number: u64,
    /// The place of the oldest one, if there are any.
    pub(crate) oldest: u64,
    /// 1 + the place of that of the socket that was asked for; 0 for none.
    pub(crate) own: u64,
    /// The place that is free, else that of the oldest one.
    free: u64,
}

impl Glance {
    /// None waits.
    pub(crate) const NONE: Self = Self {
        number: 0,
        oldest: 0,
        own: 0,
        free: 0,
    };
}

impl Reads {
    /// Looks at the reads that still wait `now`, and for that of a socket.
    #[inline(always)]
    pub(crate) fn look(&self, now: u64, socket: u64) -> Glance {
        let most = self.most.get();
        if most == 0 {
            return Glance::NONE;
        }
        let first = &self.waiting[0];
        if most == 1 && now.wrapping_sub(first.at.get()) < FORWARDED_NS {
            return Glance {
                number: 1,
                oldest: 0,
                own: u64::from(first.socket.get() == socket),
                free: 1,
            };
        }
        self.look_at_all(now, socket)
    }

    /// As [`Self::look`]. Without branches: the verifier would follow each combination of them.
    #[inline(always)]
    fn look_at_all(&self, now: u64, socket: u64) -> Glance {
        const PLACE: u64 = WAITING as u64 - 1;
        let (mut number, mut own, mut oldest, mut free) = (0, 0, 0, 0);
        for (place, read) in (0_u64..).zip(&self.waiting) {
            // Of an empty place it is the time since boot.
            let age = now.wrapping_sub(read.at.get());
            let waits = if_negative(age.wrapping_sub(FORWARDED_NS));
            let is_other = read.socket.get() ^ socket;
            let is_own = bit(!(is_other | is_other.wrapping_neg()) & waits);
            number += bit(waits);
            own |= is_own * (place + 1);
            let by_age = age & !PLACE | place;
            free = greater(free, by_age);
            oldest = greater(oldest, by_age & waits);
        }
        Glance {
            number,
            oldest: oldest & PLACE,
            own,
            free: free & PLACE,
        }
    }

    /// The waiting read at this place.
    #[inline(always)]
    pub(crate) fn waiting(&self, place: u64) -> &Read {
        &self.waiting[place as usize & (WAITING - 1)]
    }

    /// Remembers that data of this connection waits to be forwarded; when too many wait, the oldest one is forgotten.
    #[inline(always)]
    pub(crate) fn wait(&self, now: u64, sk: Sock, caller: Caller) {
        // Read back, as the verifier allows no calculation with a pointer.
        let glance = self.look(now, self.last.socket.get());
        if glance.own == 0 {
            let free = match glance.number {
                0 => 0,
                _ => glance.free,
            };
            if glance.number == 0 {
                self.is_blurred.set(0);
            }
            if glance.number == WAITING as u64 {
                self.is_blurred.set(1);
            }
            self.most.set(glance.number as u32 + 1);
            self.waiting(free).set(now, sk, caller);
        }
    }

    /// The read at this place waits no longer.
    #[inline(always)]
    pub(crate) fn done(&self, place: u64) {
        let read = self.waiting(place);
        if read.at.get() != 0 {
            read.at.set(0);
            self.most.set(self.most.get().saturating_sub(1));
        }
    }

    #[inline(always)]
    pub(crate) fn one_less_opening(&self) {
        // Another thread may have got the number of the one that had opened it.
        if self.opening.get() != 0 {
            self.opening.add(u32::MAX);
        }
    }

    /// Whether the reads that wait may not be all that are meant.
    #[inline(always)]
    pub(crate) fn is_blurred(&self) -> bool {
        self.is_blurred.get() != 0
    }

    /// How sure it is who is meant when one of these is taken.
    #[inline(always)]
    pub(crate) fn certainty(&self, glance: Glance) -> Certainty {
        if glance.number == 1 && self.is_blurred.get() == 0 {
            return Certainty::Certain;
        }
        self.is_blurred.set(1);
        Certainty::Estimated
    }
}

/// 1, if the number is negative as a signed one; else 0. Where a mask is combined with a constant, the verifier of Linux 6.18 follows both
/// cases (`maybe_fork_scalars`); a factor is one case.
#[inline(always)]
fn bit(number: u64) -> u64 {
    let mut bit = number;
    // As the instruction itself, as below.
    // SAFETY: a shift of a register.
    unsafe { asm!("{0} >>= 63", inout(reg) bit, options(pure, nomem, nostack)) };
    bit
}

/// All bits, if the number is negative as a signed one; else none.
#[inline(always)]
fn if_negative(number: u64) -> u64 {
    let mut mask = number;
    // As the instruction itself: the compiler must not know that there are two cases, which it would make branches of.
    // SAFETY: an arithmetic shift of a register.
    unsafe { asm!("{0} s>>= 63", inout(reg) mask, options(pure, nomem, nostack)) };
    mask
}

/// The greater of two numbers below 2^63.
#[inline(always)]
fn greater(a: u64, b: u64) -> u64 {
    let difference = a.wrapping_sub(b);
    b.wrapping_add(difference & !if_negative(difference))
}
