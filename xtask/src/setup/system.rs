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
    Ok(candidates(&policy(packages)?).len() == packages.len())
}

/// The packages with a name that begins like this and that can be installed, in no order; apt's lists are brought up to
/// date first if there are none.
pub(crate) fn apt_packages(prefix: &str) -> Result<Vec<String>> {
    let look = || -> Result<Vec<String>> {
        let names = workspace::output(Command::new("apt-cache").arg("pkgnames").arg(prefix))?;
        let names: Vec<_> = names.lines().map(str::to_owned).collect();
        // Without names, apt would tell about all packages there are.
        match names.is_empty() {
            true => Ok(names),
            false => Ok(candidates(&policy(&names)?).into_iter().map(str::to_owned).collect()),
        }
    };
    let found = look()?;
    if !found.is_empty() || !workspace::is_root() {
        return Ok(found);
    }
    println!("      apt-get update, because apt's lists hold no {prefix}…");
    run_reduced(apt_get().arg("update"))?;
    look()
}

fn policy(packages: &[String]) -> Result<String> {
    workspace::output(
        Command::new("apt-cache")
            .env("LC_ALL", "C")
            .arg("policy")
            .args(packages),
    )
}

/// The packages of `apt-cache policy`'s answer that can be installed.
fn candidates(policy: &str) -> Vec<&str> {
    let mut package = "";
    let mut found = Vec::new();
    for line in policy.lines() {
        if let Some(candidate) = line.trim().strip_prefix("Candidate:") {
            if candidate.trim() != "(none)" {
                found.push(package);
            }
        } else if !line.starts_with(' ') {
            package = line.trim_end_matches(':');
        }
    }
    found
}

/// A package and those it needs that are not installed here.
///
/// # Errors
/// apt fails, or knows no such package.
pub(crate) fn apt_missing(package: &str) -> Result<Vec<String>> {
    let mut simulation = apt_get();
    simulation.args(["install", "--simulate", "--no-install-recommends", package]);
    Ok(to_install(&workspace::output(&mut simulation)?))
}

/// The packages that an `apt-get install --simulate` would install.
fn to_install(simulation: &str) -> Vec<String> {
    let steps = simulation.lines().filter_map(|line| line.strip_prefix("Inst "));
    let names = steps.filter_map(|step| step.split_whitespace().next());
    names.map(str::to_owned).collect()
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

/// Unpacks packages into a new `directory` without installing them, so that they change nothing else: no service starts,
/// no other package has to go.
///
/// # Errors
/// apt or dpkg fails; what they said is printed. There is no such directory then.
pub(crate) fn apt_unpack(packages: &[String], directory: &Path) -> Result<()> {
    // Under this name it is never taken for complete.
    let partial = directory.with_added_extension("partial");
    for old in [&partial, directory] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    let download = || {
        let mut download = apt_get();
        // The directory is ours, not that of apt's own user, which would otherwise be worth a warning.
        download
            .current_dir(&partial)
            .args(["download", "-o", "APT::Sandbox::User=root"])
            .args(packages);
        download
    };
    if run_reduced(&mut download()).is_err() {
        if !workspace::is_root() {
            bail!("apt's lists may be older than the archive: run `apt-get update` as root, then this command again");
        }
        println!("      once more, after apt-get update: apt's lists may be older than the archive");
        run_reduced(apt_get().arg("update"))?;
        run_reduced(&mut download()).with_context(|| format!("cannot download {}", packages.join(" ")))?;
    }
    let entries = fs::read_dir(&partial).with_context(|| format!("cannot list {}", partial.display()))?;
    let archives: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "deb"))
        .collect();
    if archives.len() != packages.len() {
        let (asked, got) = (packages.join(" "), archives.len());
        bail!("apt-get download {asked} left {got} packages in {}", partial.display());
    }
    for archive in &archives {
        let unpack = [archive.as_path(), &partial];
        workspace::output(Command::new("dpkg-deb").arg("--extract").args(unpack))?;
        fs::remove_file(archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    }
    fs::rename(&partial, directory).with_context(|| format!("cannot rename {}", partial.display()))
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
        assert_eq!(candidates(policy), ["gcc"]);
    }

    #[test]
    fn a_simulation_says_what_is_missing() {
        let simulation = "Reading package lists...\nThe following packages will be REMOVED:\n  qemu-utils\n\
                          Remv qemu-utils [1:10.0.2]\nInst seabios (1.16.2-1 Debian:12/stable [all])\n\
                          Inst qemu-system-x86 (1:7.2 Debian:12/stable [amd64])\nConf seabios (1.16.2-1)\n";
        assert_eq!(to_install(simulation), ["seabios", "qemu-system-x86"]);
    }
}
