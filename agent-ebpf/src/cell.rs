//! Memory that programs share with each other and with the agent: several CPUs write to it at once, and it is never behind an
//! exclusive reference.

use core::{
    cell::UnsafeCell,
    intrinsics::{AtomicOrdering, atomic_and, atomic_cxchg, atomic_or, atomic_xadd, atomic_xchg},
    ptr::{read_volatile, write_volatile},
};

/// A value in shared memory, of the same size as the integer inside; values of maps are structures of cells.
///
/// Each access is one volatile load or store, or one atomic instruction of the BPF instruction set, so a shared reference is
/// all that is needed.
#[repr(transparent)]
pub(crate) struct Cell<T>(UnsafeCell<T>);

// SAFETY: integers (and the plain structures of integers that `get` and `set` copy), for which every mixture of the bytes of two
// writers is a value; what must not be mixed is written by one atomic instruction.
unsafe impl<T> Sync for Cell<T> {}

impl<T: Copy> Cell<T> {
    /// A value to put into a map.
    #[inline(always)]
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Reads the current value.
    #[inline(always)]
    pub(crate) fn get(&self) -> T {
        // SAFETY: valid and aligned, as it is behind a reference.
        unsafe { read_volatile(self.0.get()) }
    }

    /// The address of the value, for accesses to single fields of a structure.
    #[inline(always)]
    pub(crate) const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }

    /// Writes a value; a concurrent write of another CPU may be lost.
    #[inline(always)]
    pub(crate) fn set(&self, value: T) {
        // SAFETY: valid and aligned, as it is behind a reference; the type allows writes through it.
        unsafe { write_volatile(self.0.get(), value) }
    }
}

impl Cell<u64> {
    /// Adds `n`, as one `lock` instruction without a result.
    #[inline(always)]
    pub(crate) fn add(&self, n: u64) {
        // SAFETY: valid and aligned, as it is behind a reference; atomic for every other writer.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(self.0.get(), n) };
    }

    /// Writes `value` and returns the previous one; a full barrier, as all BPF exchanges are.
    #[inline(always)]
    pub(crate) fn exchange(&self, value: u64) -> u64 {
        // SAFETY: valid and aligned, as it is behind a reference; atomic for every other writer.
        unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(self.0.get(), value) }
    }

    /// Writes `value` if the value is still `seen`, and returns whether it was; a full barrier.
    #[inline(always)]
    pub(crate) fn exchange_if(&self, seen: u64, value: u64) -> bool {
        // SAFETY: valid and aligned, as it is behind a reference; atomic for every other writer.
        let (found, _) = unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(self.0.get(), seen, value)
        };
        found == seen
    }
}

impl Cell<u64> {
    /// Sets bits; a full barrier.
    #[inline(always)]
    pub(crate) fn or(&self, bits: u64) {
        // SAFETY: valid and aligned, as it is behind a reference; atomic for every other writer.
        unsafe { atomic_or::<u64, u64, { AtomicOrdering::SeqCst }>(self.0.get(), bits) };
    }

    /// Clears bits; a full barrier.
    #[inline(always)]
    pub(crate) fn clear(&self, bits: u64) {
        // SAFETY: valid and aligned, as it is behind a reference; atomic for every other writer.
        unsafe { atomic_and::<u64, u64, { AtomicOrdering::SeqCst }>(self.0.get(), !bits) };
    }
}

impl Cell<u32> {
    /// Adds `n`, as one `lock` instruction without a result.
    #[inline(always)]
    pub(crate) fn add(&self, n: u32) {
        // SAFETY: valid and aligned, as it is behind a reference; atomic for every other writer.
        unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(self.0.get(), n) };
    }

    /// Writes `value` and returns the previous one; a full barrier.
    #[inline(always)]
    pub(crate) fn exchange(&self, value: u32) -> u32 {
        // SAFETY: valid and aligned, as it is behind a reference; atomic for every other writer.
        unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(self.0.get(), value) }
    }

    /// Sets bits; a full barrier.
    #[inline(always)]
    pub(crate) fn or(&self, bits: u32) {
        // SAFETY: valid and aligned, as it is behind a reference; atomic for every other writer.
        unsafe { atomic_or::<u32, u32, { AtomicOrdering::SeqCst }>(self.0.get(), bits) };
    }
}
