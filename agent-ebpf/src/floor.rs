//! Empty programs on the hooks of Narrows, to measure the cost of the hooks alone.

#![no_std]
#![no_main]

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

/// On the hook of `set_state`; does nothing.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state(_: BtfTracePointContext) -> i32 {
    0
}

/// On the hook of `sched_switch`; does nothing.
#[btf_tracepoint(function = "sched_switch")]
fn sched_switch(_: BtfTracePointContext) -> i32 {
    0
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
