//! Capabilities by name, and dropping all others.

use std::{fs, io};

use anyhow::{Context as _, Result};

/// All capabilities in the order of their numbers (`include/uapi/linux/capability.h`), as Kubernetes writes them.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The kernel's `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`: one for each 32 capabilities.
#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`, which has 64 bits.
const VERSION: u32 = 0x2008_0522;

/// The bits of capabilities, as `/proc/<pid>/status` shows them.
pub fn mask(names: &[String]) -> Result<u64> {
    names.iter().try_fold(0, |mask, name| {
        let number = NAMES.iter().position(|known| known == name);
        Ok(mask | 1 << number.with_context(|| format!("no capability is called {name:?}"))?)
    })
}

/// The last capability that this kernel knows.
pub(super) fn last() -> Result<u8> {
    let path = "/proc/sys/kernel/cap_last_cap";
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    text.trim().parse().with_context(|| format!("{text:?} in {path}"))
}

/// Drops all capabilities but those of `mask`, for this process and for programs that it executes. None is inheritable, as with
/// runtimes since 2022: root has those of the bounding set.
pub(super) fn keep(mask: u64, last: u8) -> io::Result<()> {
    for number in (0..=last).filter(|number| mask >> number & 1 == 0) {
        // SAFETY: takes numbers only.
        checked(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) }.into())?;
    }
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let half = |mask: u32| Data {
        effective: mask,
        permitted: mask,
        inheritable: 0,
    };
    let both = [half(mask as u32), half((mask >> 32) as u32)];
    // SAFETY: both pointers are to live objects of the kernel's layout; version 3 reads two of the latter.
    checked(unsafe { libc::syscall(libc::SYS_capset, &raw const header, both.as_ptr()) })
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
