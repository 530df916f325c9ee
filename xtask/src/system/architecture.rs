//! The processors that Linux machines have, by each of the names they go by.

use std::env::consts::ARCH;

use clap::ValueEnum;

/// An architecture that the agent runs on. On the command line it is the target that rustc compiles for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// 64-bit PCs: amd64
    #[value(name = "x86_64-unknown-linux-gnu")]
    X86_64,
    /// 64-bit ARM: arm64
    #[value(name = "aarch64-unknown-linux-gnu")]
    Aarch64,
}

impl Architecture {
    /// Whether it is that of this machine.
    pub(crate) fn is_here(self) -> bool {
        ARCH == self.kernel()
    }

    /// As `uname -m` and QEMU say it.
    pub(crate) fn kernel(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As Debian's packages are named.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// As rustc's standard libraries are named.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// As GNU's tools for it, and Debian's directories of libraries, are named.
    pub(crate) fn gnu(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }
}
