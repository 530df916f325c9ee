//! Families of distributions.

use std::fs;

/// Distributions that share package names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Debian,
    Fedora,
    Arch,
    Alpine,
    Other,
}

impl Family {
    /// The family of this machine.
    pub(crate) fn here() -> Self {
        let text = fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release"));
        Self::parse(&text.unwrap_or_default())
    }

    /// Reads `ID` and `ID_LIKE` of an os-release file.
    fn parse(os_release: &str) -> Self {
        let value = |key: &str| {
            let value = os_release
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        let ids = format!("{} {}", value("ID"), value("ID_LIKE"));
        ids.split_whitespace()
            .find_map(|id| match id {
                "debian" | "ubuntu" => Some(Self::Debian),
                "fedora" | "rhel" | "centos" => Some(Self::Fedora),
                "arch" => Some(Self::Arch),
                "alpine" => Some(Self::Alpine),
                _ => None,
            })
            .unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_belong_to_families() {
        let families = [
            ("ID=debian\nVERSION_ID=\"12\"\n", Family::Debian),
            (
                "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
                Family::Debian,
            ),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Family::Fedora),
            ("ID=alpine\n", Family::Alpine),
            ("ID=manjaro\nID_LIKE=arch\n", Family::Arch),
            ("ID=nixos\n", Family::Other),
            ("", Family::Other),
        ];
        for (text, family) in families {
            assert_eq!(Family::parse(text), family, "{text}");
        }
    }
}
