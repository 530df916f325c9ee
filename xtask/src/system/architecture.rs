//! CPU architectures, with the names that different tools use for them.

use std::env::consts::ARCH;

use clap::ValueEnum;

/// An architecture that the agent runs on. On the command line it is the target that rustc compiles for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// 64-bit x86 (amd64)
    #[value(name = "x86_64-unknown-linux-gnu")]
    X86_64,
    /// 64-bit ARM (arm64)
    #[value(name = "aarch64-unknown-linux-gnu")]
    Aarch64,
}

impl Architecture {
    /// Whether it is the architecture of this machine.
    pub(crate) fn is_here(self) -> bool {
        ARCH == self.kernel()
    }

    /// The name for `uname -m` and QEMU.
    pub(crate) fn kernel(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The name for Debian packages.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The target triple of rustc.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The prefix of GNU tools, and the name of Debian's library directories.
    pub(crate) fn gnu(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }
}
