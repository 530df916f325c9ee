//! The command that compiles the kernel programs, and its warnings.

use std::{
    env,
    ffi::OsString,
    path::Path,
    process::{Command, Output},
};

use crate::{
    place::{BPF_PROFILE, BPF_TARGET, objects_dir},
    toolchain::{Kind, Toolchain},
};

/// The crates that use unstable features; a distribution's stable compiler allows them for these crates only.
const UNSTABLE_CRATES: &str = "aya_ebpf,agent_common,agent_ebpf,narrows_ebpf,floor";

impl Toolchain {
    /// Compiles the kernel programs for a machine of architecture `arch` (as in `CARGO_CFG_TARGET_ARCH`), from the workspace at
    /// `workspace`. The output has the exit status and the compiler's messages; the result is an
    /// [`object`](crate::object).
    ///
    /// # Errors
    /// The compiler could not be started.
    pub fn compile(&self, workspace: &Path, target_dir: &Path, arch: &str) -> Result<Output, String> {
        let mut command = self.build_command(workspace, target_dir, arch)?;
        let output = command.output();
        output.map_err(|error| format!("cannot run {}: {error}", self.cargo.display()))
    }

    /// The command that compiles the kernel programs for a machine of architecture `arch`
    /// (as in `CARGO_CFG_TARGET_ARCH`), from the workspace at `workspace`.
    ///
    /// # Errors
    /// `PATH` cannot be extended by the linker's directory.
    fn build_command(&self, workspace: &Path, target_dir: &Path, arch: &str) -> Result<Command, String> {
        let flags = [
            // The kernel needs BTF to check and describe the programs; it is generated from debug information.
            "-Clink-arg=--btf".to_owned(),
            "-Cdebuginfo=2".to_owned(),
            // Version 3 of the instruction set has 32-bit jumps, and every supported kernel knows it.
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

/// One line for each warning: its message and location.
pub fn warnings(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(what) = line.strip_prefix("warning: ") else {
            continue;
        };
        let place = lines.peek().and_then(|next| next.trim_start().strip_prefix("--> "));
        match place {
            Some(place) => found.push(format!("{what} ({place})")),
            // cargo's own summary line contains nothing new.
            None if what.contains("generated") => {}
            None => found.push(what.to_owned()),
        }
    }
    found
}

/// Whether a variable of an outer cargo, rustup or clippy would change what the inner cargo does.
fn disturbs(name: &OsString) -> bool {
    const EXACT: [&str; 12] = [
        "CARGO",
        "CLIPPY_ARGS",
        "DEBUG",
        "HOST",
        // cargo sets it to the host compiler's libraries, which include another LLVM.
        "LD_LIBRARY_PATH",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "TARGET",
    ];
    // Settings of registries, their cache, and the number of jobs are kept.
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

    #[test]
    fn a_warning_is_one_line() {
        let text = "warning: unused variable: `x`\n  --> agent-ebpf/src/main.rs:1:2\n   |\n\nwarning: odd\n\n\
                    warning: `agent-ebpf` (bin \"narrows-ebpf\") generated 2 warnings\n";
        assert_eq!(
            warnings(text),
            ["unused variable: `x` (agent-ebpf/src/main.rs:1:2)", "odd"]
        );
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
            let toolchain = Toolchain {
                kind,
                cargo: "/usr/bin/cargo".into(),
                rustc: "/usr/bin/rustc".into(),
                linker_dir: "/src/target/ebpf-toolchain/bin".into(),
                stamp: "00ff".into(),
            };
            let command = toolchain
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
