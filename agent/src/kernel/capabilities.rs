//! The capabilities of the process.

/// A capability the agent needs, its number (`include/uapi/linux/capability.h`) and its purpose.
const NEEDED: [(&str, u32, &str); 2] = [
    ("CAP_BPF", 39, "load eBPF programs and maps"),
    ("CAP_PERFMON", 38, "attach them to kernel tracepoints"),
];

/// Includes both, for compatibility with kernels before Linux 5.8, where it was needed instead.
const CAP_SYS_ADMIN: u32 = 21;

/// The names of the needed capabilities that this process lacks, each with its purpose.
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn missing_capabilities() -> anyhow::Result<Vec<String>> {
    let effective = procfs::process::Process::myself()?.status()?.capeff;
    Ok(missing_of(effective))
}

/// Whether this process may read which programs other users' processes run (`/proc/<pid>/exe`).
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn sees_processes() -> anyhow::Result<bool> {
    const CAP_SYS_PTRACE: u32 = 19;
    Ok(procfs::process::Process::myself()?.status()?.capeff >> CAP_SYS_PTRACE & 1 == 1)
}

/// Whether this process may load and attach programs of cgroups that see sockets.
pub fn administers_network() -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.capeff >> CAP_NET_ADMIN & 1 == 1)
}

fn missing_of(effective: u64) -> Vec<String> {
    let has = |n: u32| effective >> n & 1 == 1;
    NEEDED
        .iter()
        .filter(|(_, number, _)| !has(*number) && !has(CAP_SYS_ADMIN))
        .map(|(name, _, what)| format!("{name} ({what})"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing() {
        assert_eq!(missing_of(0).len(), 2);
        assert_eq!(missing_of(1 << 39), ["CAP_PERFMON (attach them to kernel tracepoints)"]);
        assert!(missing_of(1 << 38 | 1 << 39).is_empty());
        assert!(missing_of(1 << 21).is_empty());
    }
}
