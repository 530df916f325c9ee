//! Restrictions and differences of this kernel as a whole.

use std::fs;

/// The kernel's lockdown mode (`Documentation/admin-guide/LSM`, lockdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Programs may read kernel memory.
    Open,
    /// Programs may not: `bpf_probe_read_kernel` and related helpers are refused (`LOCKDOWN_BPF_READ_KERNEL`).
    Confidentiality,
    /// The mode cannot be determined: securityfs is not mounted, or the kernel has no lockdown.
    Unknown,
}

/// Kernel fields that programs can only read with `bpf_probe_read_kernel`, as the verifier does not know their types.
pub const PROBED_FIELDS: [&str; 2] = ["tcp_request_sock.snt_synack", "net.ipv4.ip_local_ports.range"];

/// Where the kernel reports its lockdown mode.
pub const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// This kernel's lockdown mode, from [`LOCKDOWN`].
pub fn lockdown() -> Lockdown {
    match fs::read_to_string(LOCKDOWN) {
        Ok(text) => lockdown_of(&text),
        Err(_) => Lockdown::Unknown,
    }
}

/// The current mode is in brackets: `none [integrity] confidentiality`.
fn lockdown_of(text: &str) -> Lockdown {
    match text.contains("[confidentiality]") {
        true => Lockdown::Confidentiality,
        false => Lockdown::Open,
    }
}

/// Whether this kernel has real-time preemption: there, before `kmalloc_nolock` (Linux 6.18), socket storage is allocated in a way
/// that may sleep.
pub fn is_real_time() -> bool {
    fs::read_to_string("/proc/sys/kernel/version").is_ok_and(|version| version.contains("PREEMPT_RT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_in_brackets_is_in_force() {
        assert_eq!(
            lockdown_of("none integrity [confidentiality]\n"),
            Lockdown::Confidentiality
        );
        assert_eq!(lockdown_of("none [integrity] confidentiality\n"), Lockdown::Open);
        assert_eq!(lockdown_of("[none] integrity confidentiality\n"), Lockdown::Open);
    }
}
