//! How the kernel object is compiled: where `cargo xtask setup` leaves what it found, and the command that uses it.
//!
//! `agent/build.rs` includes this very file, so it needs nothing but the standard library.

use std::{
    env,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// The kernel programs' compilation target.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";
/// The profile in the workspace manifest that the kernel programs are built with.
pub(crate) const BPF_PROFILE: &str = "bpf";
/// The crates that ask for unstable features; a distribution's compiler grants them to these alone.
const UNSTABLE_CRATES: &str = "aya_ebpf,agent_common,agent_ebpf,narrows_ebpf,floor";

/// What `cargo xtask setup` builds and records lies here.
pub(crate) fn toolchain_dir(target_dir: &Path) -> PathBuf {
    target_dir.join("ebpf-toolchain")
}

/// The file in which `cargo xtask setup` records the eBPF toolchain it found.
pub(crate) fn toolchain_file(target_dir: &Path) -> PathBuf {
    toolchain_dir(target_dir).join("toolchain")
}

/// A compiled kernel object, `narrows-ebpf` or `floor`, for machines of architecture `arch` (as in `CARGO_CFG_TARGET_ARCH`).
pub(crate) fn object(target_dir: &Path, arch: &str, name: &str) -> PathBuf {
    objects_dir(target_dir, arch)
        .join(BPF_TARGET)
        .join(BPF_PROFILE)
        .join(name)
}

/// The kernel programs have a target directory of their own: the outer cargo holds the lock of its own one meanwhile. And one
/// for each architecture, as the objects have the same name and may be built at the same time.
fn objects_dir(target_dir: &Path, arch: &str) -> PathBuf {
    target_dir.join("ebpf").join(arch)
}

/// Where `core` for the BPF target comes from, which decides the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A distribution's Rust, whose packages hold a compiled `core`.
    Distribution,
    /// A rustup nightly, which compiles `core` from `rust-src`.
    Nightly,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Distribution => "distribution",
            Self::Nightly => "nightly",
        })
    }
}

/// The programs that compile for the BPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Decides the flags.
    pub(crate) kind: Kind,
    /// The cargo that belongs to `rustc`.
    pub(crate) cargo: PathBuf,
    /// The compiler.
    pub(crate) rustc: PathBuf,
    /// The directory that holds a `bpf-linker` for the compiler's LLVM.
    pub(crate) linker_dir: PathBuf,
    /// Changes whenever the compiler or the linker does.
    pub(crate) stamp: String,
}

impl Toolchain {
    /// Reads what `cargo xtask setup` recorded and checks that it is still there.
    ///
    /// # Errors
    /// A sentence about the file or the missing program.
    pub(crate) fn read(target_dir: &Path) -> Result<Self, String> {
        let file = toolchain_file(target_dir);
        let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let toolchain = Self::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        for program in [
            toolchain.cargo.clone(),
            toolchain.rustc.clone(),
            toolchain.linker_dir.join("bpf-linker"),
        ] {
            if !program.is_file() {
                return Err(format!("{} names {}, which is gone", file.display(), program.display()));
            }
        }
        Ok(toolchain)
    }

    /// Parses the `key=value` lines of the toolchain file.
    ///
    /// # Errors
    /// Names the key that is missing or the value that is unknown.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value = |key: &str| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find_map(|(found, value)| (found == key && !value.is_empty()).then(|| value.to_owned()))
                .ok_or_else(|| format!("no `{key}=`"))
        };
        Ok(Self {
            kind: match value("kind")?.as_str() {
                "distribution" => Kind::Distribution,
                "nightly" => Kind::Nightly,
                other => return Err(format!("unknown kind `{other}`")),
            },
            cargo: value("cargo")?.into(),
            rustc: value("rustc")?.into(),
            linker_dir: value("linker_dir")?.into(),
            stamp: value("stamp")?,
        })
    }

    /// Records the toolchain for later builds.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, target_dir: &Path) -> io::Result<()> {
        fs::create_dir_all(toolchain_dir(target_dir))?;
        fs::write(toolchain_file(target_dir), self.to_string())
    }

    /// The command that compiles the kernel programs for a machine of architecture `arch`
    /// (as in `CARGO_CFG_TARGET_ARCH`), from the workspace at `workspace`.
    ///
    /// # Errors
    /// `PATH` cannot be extended by the linker's directory.
    pub(crate) fn build_command(&self, workspace: &Path, target_dir: &Path, arch: &str) -> Result<Command, String> {
        let flags = [
            // BTF is what lets the kernel check and describe the programs; it is made from debug information.
            "-Clink-arg=--btf".to_owned(),
            "-Cdebuginfo=2".to_owned(),
            // The third instruction set has 32-bit jumps and is known to every kernel we load into.
            "-Ctarget-cpu=v3".to_owned(),
            format!("--cfg=bpf_target_arch=\"{arch}\""),
        ];
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([self.linker_dir.clone()].into_iter().chain(env::split_paths(&path)))
            .map_err(|error| format!("cannot put {} on PATH: {error}", self.linker_dir.display()))?;

        let mut command = Command::new(&self.cargo);
        command.current_dir(workspace);
        for (name, _) in env::vars_os().filter(|(name, _)| disturbs(name)) {
            command.env_remove(name);
        }
        command
            .env("PATH", path)
            .env("RUSTC", &self.rustc)
            // Empty means none, even where a configuration file names one.
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .args(["build", "--quiet", "--color=never", "--package=agent-ebpf"])
            .args(["--profile", BPF_PROFILE, "--target", BPF_TARGET])
            .arg("--target-dir")
            .arg(objects_dir(target_dir, arch));
        match self.kind {
            Kind::Distribution => command.env("RUSTC_BOOTSTRAP", UNSTABLE_CRATES),
            Kind::Nightly => command.args(["-Z", "build-std=core"]),
        };
        Ok(command)
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Written by `cargo xtask setup`, read by agent/build.rs.")?;
        writeln!(f, "kind={}", self.kind)?;
        writeln!(f, "cargo={}", self.cargo.display())?;
        writeln!(f, "rustc={}", self.rustc.display())?;
        writeln!(f, "linker_dir={}", self.linker_dir.display())?;
        writeln!(f, "stamp={}", self.stamp)
    }
}

/// Whether a variable of an outer cargo, rustup or clippy would change what the inner cargo does.
fn disturbs(name: &OsString) -> bool {
    const EXACT: [&str; 12] = [
        "CARGO",
        "CLIPPY_ARGS",
        "DEBUG",
        "HOST",
        // cargo puts the host compiler's libraries there, among them another LLVM.
        "LD_LIBRARY_PATH",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "TARGET",
    ];
    // How to reach a registry, where its cache lies, and how many jobs may run stay as they are.
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
    ];
    let Some(name) = name.to_str() else { return false };
    EXACT.contains(&name)
        || name.starts_with("RUSTC")
        || name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain() -> Toolchain {
        Toolchain {
            kind: Kind::Distribution,
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            linker_dir: "/src/target/ebpf-toolchain/bin".into(),
            stamp: "00ff".into(),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(Toolchain::parse(&toolchain().to_string()), Ok(toolchain()));
    }

    #[test]
    fn an_incomplete_file_is_refused_by_key() {
        let text = toolchain().to_string().replace("stamp=00ff", "stamp=");
        assert_eq!(Toolchain::parse(&text), Err("no `stamp=`".into()));
        let text = toolchain().to_string().replace("distribution", "stone");
        assert_eq!(Toolchain::parse(&text), Err("unknown kind `stone`".into()));
    }

    #[test]
    fn the_outer_build_is_kept_out() {
        for name in [
            "RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_TARGET_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_CFG_UNIX",
        ] {
            assert!(disturbs(&name.into()), "{name} should be removed");
        }
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_HTTP_CAINFO",
            "CARGO_MAKEFLAGS",
            "RUSTUP_HOME",
        ] {
            assert!(!disturbs(&name.into()), "{name} should be kept");
        }
    }

    #[test]
    fn nightly_builds_core_and_distributions_do_not() {
        let arguments = |kind| {
            let command = Toolchain { kind, ..toolchain() }
                .build_command(Path::new("/src"), Path::new("/src/target"), "x86_64")
                .expect("a command");
            command
                .get_args()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert!(arguments(Kind::Nightly).contains(&"build-std=core".into()));
        assert!(!arguments(Kind::Distribution).contains(&"-Z".into()));
    }
}
