//! The virtual machines that tests run on.

use std::fmt;

use clap::ValueEnum;

use crate::system::architecture::Architecture;

use super::kernel::Image;

/// A kernel to test on, with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Guest {
    /// That of Debian 12
    #[value(name = "6.1")]
    V6_1,
    /// That of Debian 13, also built for Debian 12
    #[value(name = "6.12")]
    V6_12,
    /// The same with `lockdown=confidentiality`, which forbids kernel programs to read kernel memory by address
    #[value(name = "6.12-lockdown")]
    Lockdown,
    /// Linux 6.12 on a 64-bit ARM, with an agent and programs for it
    #[value(name = "arm64")]
    Arm64,
}

impl Guest {
    /// The guests that every change has to pass; the longest first, as at most as many run at the same time as there are CPUs.
    pub(crate) const ALWAYS: [Self; 3] = [Self::V6_12, Self::V6_1, Self::Lockdown];

    /// The kernel that it boots.
    pub(crate) fn image(self) -> Image {
        let (series, architecture) = match self {
            Self::V6_1 => ("6.1", Architecture::X86_64),
            Self::V6_12 | Self::Lockdown => ("6.12", Architecture::X86_64),
            Self::Arm64 => ("6.12", Architecture::Aarch64),
        };
        Image { series, architecture }
    }

    /// The lockdown mode, as in `/sys/kernel/security/lockdown`.
    pub(crate) fn lockdown(self) -> &'static str {
        match self {
            Self::Lockdown => "confidentiality",
            Self::V6_1 | Self::V6_12 | Self::Arm64 => "none",
        }
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Lockdown => "6.12-lockdown",
            Self::Arm64 => "6.12-arm64",
        })
    }
}
