//! One hook a file.

mod accept;
mod adopt;
mod cgroup;
mod collect;
mod delay;
mod process;
mod reset;
mod retransmit;
mod sample;
mod scheduling;
mod set_state;

use aya_ebpf::bindings::seq_file;
use core::ffi::c_void;

/// Writes a value to an iterator's output. `false` when the buffer is full: the kernel then calls the program again
/// for the same object, with an empty buffer.
#[inline(always)]
fn write<T>(seq: *mut seq_file, value: *const T) -> bool {
    // SAFETY: the verifier knows both, and that `value` has so many bytes.
    unsafe {
        aya_ebpf::helpers::generated::bpf_seq_write(seq, value.cast_mut().cast::<c_void>(), size_of::<T>() as u32) == 0
    }
}

/// The n-th pointer of an iterator's context, whose first is always `struct bpf_iter_meta *`.
#[inline(always)]
fn argument<T>(ctx: *mut c_void, n: usize) -> *mut T {
    // SAFETY: the verifier checks the context's size.
    unsafe { *ctx.cast::<*mut T>().add(n) }
}

/// `meta->seq`, the first field of `struct bpf_iter_meta`.
#[inline(always)]
fn output(ctx: *mut c_void) -> *mut seq_file {
    let meta: *mut *mut seq_file = argument(ctx, 0);
    // SAFETY: the kernel always passes it.
    unsafe { *meta }
}
