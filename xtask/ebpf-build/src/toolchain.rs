//! The programs that compile for the BPF target, and the file that names them.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::place::{toolchain_dir, toolchain_file};

/// Where `core` for the BPF target comes from, which decides the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A distribution's Rust, whose packages contain a compiled `core`.
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
pub struct Toolchain {
    /// The kind of toolchain, which decides the flags.
    pub kind: Kind,
    /// The cargo that belongs to `rustc`.
    pub cargo: PathBuf,
    /// The path of the compiler.
    pub rustc: PathBuf,
    /// The directory that contains a `bpf-linker` for the compiler's LLVM.
    pub linker_dir: PathBuf,
    /// Changes whenever the compiler or the linker does.
    pub stamp: String,
}

impl Toolchain {
    /// Reads what `cargo xtask setup` has recorded, and checks that the programs still exist.
    ///
    /// # Errors
    /// A sentence about the file or the missing program.
    pub fn read(target_dir: &Path) -> Result<Self, String> {
        let file = toolchain_file(target_dir);
        let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let toolchain = Self::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        for program in [
            toolchain.cargo.clone(),
            toolchain.rustc.clone(),
            toolchain.linker_dir.join("bpf-linker"),
        ] {
            if !program.is_file() {
                return Err(format!(
                    "{} names {}, which does not exist any more",
                    file.display(),
                    program.display()
                ));
            }
        }
        Ok(toolchain)
    }

    /// Parses the `key=value` lines of the toolchain file.
    ///
    /// # Errors
    /// Names the key that is missing or the value that is unknown.
    pub fn parse(text: &str) -> Result<Self, String> {
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
    pub fn write(&self, target_dir: &Path) -> io::Result<()> {
        fs::create_dir_all(toolchain_dir(target_dir))?;
        fs::write(toolchain_file(target_dir), self.to_string())
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
}
