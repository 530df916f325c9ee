//! What keeps programs quick to verify: the verifier follows each value that it knows as a case of its own.

use crate::maps::zero;
use core::arch::asm;

/// The same number, which the verifier does not know: what follows is one case for it, and not one for each value that it has seen.
#[inline(always)]
pub(crate) fn unknown(number: u32) -> u32 {
    // Zero, as no program writes to it.
    number.wrapping_add(zero().map_or(0, |zero| zero.retired.get()))
}

/// The element with this number, which is among them; else the first one.
#[inline(always)]
pub(crate) fn element<T, const N: usize>(all: &[T; N], number: u32) -> &T {
    let (mut at, length) = (u64::from(number), N as u64);
    // Compared in the register that is used as the index: the compiler may compare another one, and then the verifier of Linux 6.1
    // does not know that this one is below the length.
    // SAFETY: a jump over the next instruction, which sets a register.
    unsafe {
        asm!(
            "if {0} < {1} goto +1",
            "{0} = 0",
            inout(reg) at,
            in(reg) length,
            options(pure, nomem, nostack)
        );
    };
    // SAFETY: it is below the length.
    unsafe { all.get_unchecked(at as usize) }
}
