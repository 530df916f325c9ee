//! Paths in the target directory.

use std::path::{Path, PathBuf};

/// The kernel programs' compilation target.
pub const BPF_TARGET: &str = "bpfel-unknown-none";
/// The profile in the workspace manifest that the kernel programs are built with.
pub const BPF_PROFILE: &str = "bpf";

/// The directory of what `cargo xtask setup` builds and records.
pub fn toolchain_dir(target_dir: &Path) -> PathBuf {
    target_dir.join("ebpf-toolchain")
}

/// The file in which `cargo xtask setup` records the eBPF toolchain it found.
pub fn toolchain_file(target_dir: &Path) -> PathBuf {
    toolchain_dir(target_dir).join("toolchain")
}

/// A compiled kernel object, `narrows-ebpf` or `floor`, for machines of architecture `arch` (as in `CARGO_CFG_TARGET_ARCH`).
pub fn object(target_dir: &Path, arch: &str, name: &str) -> PathBuf {
    objects_dir(target_dir, arch)
        .join(BPF_TARGET)
        .join(BPF_PROFILE)
        .join(name)
}

/// The kernel programs have a separate target directory, as the outer cargo holds the lock of its own one meanwhile. There is one
/// for each architecture, as the objects have the same name and may be built at the same time.
pub(crate) fn objects_dir(target_dir: &Path, arch: &str) -> PathBuf {
    target_dir.join("ebpf").join(arch)
}
