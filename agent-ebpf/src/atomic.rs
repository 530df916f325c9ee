//! The atomic operations that BPF has, on memory shared between processors.

use core::intrinsics::{AtomicOrdering, atomic_or, atomic_xadd, atomic_xchg};

/// `*counter += n`, as one `lock` instruction without a result.
#[inline(always)]
pub(crate) fn add(counter: &mut u64, n: u64) {
    // SAFETY: a valid, aligned location; the instruction is atomic for every other writer.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, n) };
}

/// The same for 32 bits.
#[inline(always)]
pub(crate) fn add32(counter: &mut u32, n: u32) {
    // SAFETY: as above.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(counter, n) };
}

/// Writes `value`, returns what was there; a full barrier, as all BPF exchanges are.
#[inline(always)]
pub(crate) fn exchange(place: &mut u64, value: u64) -> u64 {
    // SAFETY: as above.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(place, value) }
}

/// The same for 32 bits.
#[inline(always)]
pub(crate) fn exchange32(place: &mut u32, value: u32) -> u32 {
    // SAFETY: as above.
    unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(place, value) }
}

/// `*flags |= bits`, a full barrier.
#[inline(always)]
pub(crate) fn or32(flags: &mut u32, bits: u32) {
    // SAFETY: as above.
    unsafe { atomic_or::<u32, u32, { AtomicOrdering::SeqCst }>(flags, bits) };
}
