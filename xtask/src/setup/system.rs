//! The distribution: which family it is of, and how its packages are installed.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{progress::run_reduced, workspace};

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

/// Whether apt knows every one of these packages; its lists are brought up to date first if it does not.
pub(crate) fn apt_knows(packages: &[String]) -> Result<bool> {
    if apt_candidates(packages)? {
        return Ok(true);
    }
    if workspace::is_root() {
        println!("      apt-get update, because a package is not in apt's lists");
        run_reduced(apt_get().arg("update"))?;
        return apt_candidates(packages);
    }
    Ok(false)
}

fn apt_candidates(packages: &[String]) -> Result<bool> {
    let policy = workspace::output(
        Command::new("apt-cache")
            .env("LC_ALL", "C")
            .arg("policy")
            .args(packages),
    )?;
    Ok(count_candidates(&policy) == packages.len())
}

/// How many packages of `apt-cache policy`'s answer can be installed.
fn count_candidates(policy: &str) -> usize {
    let candidates = policy.lines().filter_map(|line| line.trim().strip_prefix("Candidate:"));
    candidates.filter(|candidate| candidate.trim() != "(none)").count()
}

/// Installs packages.
///
/// # Errors
/// apt fails; what it said is printed.
pub(crate) fn apt_install(packages: &[String]) -> Result<()> {
    // Removing another Rust, say, is the owner's decision.
    let install = || {
        let mut apt = apt_get();
        apt.args(["install", "-y", "--no-install-recommends", "--no-remove"])
            .args(packages);
        apt
    };
    if run_reduced(&mut install()).is_ok() {
        return Ok(());
    }
    println!("      once more, after apt-get update: apt's lists may be older than the archive");
    run_reduced(apt_get().arg("update"))?;
    run_reduced(&mut install()).with_context(|| format!("cannot install {}", packages.join(" ")))
}

/// Unpacks a package below `directory` without installing it, so that it starts no service.
///
/// # Errors
/// apt or dpkg fails; what they said is printed.
pub(crate) fn apt_unpack(package: &str, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut download = apt_get();
    // The directory is ours, not that of apt's own user, which would otherwise be worth a warning.
    download
        .current_dir(directory)
        .args(["download", "-o", "APT::Sandbox::User=root", package]);
    run_reduced(&mut download)?;
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let archive = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"));
    let Some(archive) = archive else {
        bail!("apt-get download {package} left no package in {}", directory.display())
    };
    workspace::output(
        Command::new("dpkg-deb")
            .arg("--extract")
            .args([archive.as_path(), directory]),
    )?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
}

fn apt_get() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    apt
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

    #[test]
    fn packages_without_a_candidate_do_not_count() {
        let policy = "gcc:\n  Installed: 4:12.2.0-3\n  Candidate: 4:12.2.0-3\n  Version table:\n\
                      rustc-web:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n";
        assert_eq!(count_candidates(policy), 1);
    }
}
