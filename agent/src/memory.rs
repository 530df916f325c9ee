//! The allocator.

/// Gives free memory back to the system, after something that took much of it for a moment; glibc would keep it for later.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only returns free memory to the system.
    unsafe {
        libc::malloc_trim(0);
    }
}
