//! The kernel programs of Narrows: one file per hook in `hooks`; each entry point calls a body that returns a `Result`.
//!
//! `sock` reads kernel structures, `flows` counts, `ending` decides how a connection ended, `maps` has the state that is kept
//! between events, which is made of `cell`s.

#![no_std]
#![no_main]
// The BPF target has no compare-and-swap, so core's atomics do not exist there; the intrinsics become single
// instructions of the BPF instruction set, version 3.
#![feature(core_intrinsics, asm_experimental_arch)]
#![allow(internal_features, reason = "see above")]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "a key by value would be one more copy on a stack of 512 bytes"
)]

mod cell;
mod ending;
mod failures;
mod flows;
mod hooks;
mod ledger;
mod lifetimes;
mod maps;
mod outcome;
mod pairing;
mod path;
mod points;
mod queue;
mod reads;
mod record;
mod sock;
mod state;
mod task;
mod verifier;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// "Dual MIT/GPL": the kernel allows some helpers only to GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
