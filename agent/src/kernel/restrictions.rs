//! What this kernel forbids, or does differently, as a whole.

use std::fs;

/// How far the kernel is closed to its own root (`Documentation/admin-guide/LSM`, lockdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Programs may read kernel memory.
    Open,
    /// They may not: `bpf_probe_read_kernel` and its kin are refused (`LOCKDOWN_BPF_READ_KERNEL`).
    Confidentiality,
    /// Nobody says: securityfs is not mounted, or the kernel has no lockdown.
    Unknown,
}

/// Kernel fields that the programs can only read with `bpf_probe_read_kernel`, as they lie beyond what the verifier knows.
pub const PROBED_FIELDS: [&str; 2] = ["tcp_request_sock.snt_synack", "net.ipv4.ip_local_ports.range"];

/// Where the kernel says how far it is locked down.
pub const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// How far this kernel is locked down, by [`LOCKDOWN`].
pub fn lockdown() -> Lockdown {
    match fs::read_to_string(LOCKDOWN) {
        Ok(text) => lockdown_of(&text),
        Err(_) => Lockdown::Unknown,
    }
}

/// The mode in force stands in brackets: `none [integrity] confidentiality`.
fn lockdown_of(text: &str) -> Lockdown {
    match text.contains("[confidentiality]") {
        true => Lockdown::Confidentiality,
        false => Lockdown::Open,
    }
}

/// Whether this is a kernel with real-time preemption: there, storage of a socket is allocated where that may sleep, before Linux
/// has `kmalloc_nolock` (6.18).
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
