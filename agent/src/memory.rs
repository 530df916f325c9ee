//! Control of the memory allocator.

/// Returns free memory to the system, after a temporary peak; glibc would keep it for later.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only returns free memory to the system.
    unsafe {
        libc::malloc_trim(0);
    }
}
