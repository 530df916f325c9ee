//! Debian packages: finds them, and installs or unpacks them, for this machine or for another
//! architecture.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{progress::run_reduced, workspace};

use super::architecture::Architecture;

/// apt, with the package lists that it uses.
pub(crate) struct Apt {
    options: Vec<OsString>,
    /// Whether the lists are in the target directory, so that updating them needs no root and does not change this machine.
    ours: bool,
}

impl Apt {
    /// With the lists of this machine.
    pub(crate) fn here() -> Self {
        Self {
            options: Vec::new(),
            ours: false,
        }
    }

    /// With the lists of an architecture: this machine's own, or lists in the target directory, whose packages are never
    /// installed.
    ///
    /// # Errors
    /// Its directories cannot be created, or the lists cannot be downloaded.
    pub(crate) fn of(architecture: Architecture, target_dir: &Path) -> Result<Self> {
        if architecture.is_here() {
            return Ok(Self::here());
        }
        let name = architecture.debian();
        let directory = target_dir.join(format!("apt-{name}"));
        let (lists, cache) = (directory.join("lists"), directory.join("cache"));
        for directory in [lists.join("partial"), cache.join("archives/partial")] {
            fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let option = |key: &str, value: &Path| {
            let mut option = OsString::from(format!("{key}="));
            option.push(value);
            ["-o".into(), option]
        };
        let options = [
            option("APT::Architecture", Path::new(name)),
            option("APT::Architectures", Path::new(name)),
            option("Dir::State::Lists", &lists),
            option("Dir::State::Status", Path::new("/dev/null")),
            option("Dir::Cache", &cache),
            option("APT::Sandbox::User", Path::new("root")),
        ];
        let apt = Self {
            options: options.into_iter().flatten().collect(),
            ours: true,
        };
        if !holds_lists(&lists) {
            println!("      apt-get update for {name}, with lists in {}", lists.display());
            apt.update()?;
        }
        Ok(apt)
    }

    /// Whether apt knows all of these packages; if not, its lists are updated first.
    pub(crate) fn knows(&self, packages: &[String]) -> Result<bool> {
        if self.has_candidates(packages)? {
            return Ok(true);
        }
        if self.may_update() {
            println!("      apt-get update, because a package is not in apt's lists");
            self.update()?;
            return self.has_candidates(packages);
        }
        Ok(false)
    }

    fn has_candidates(&self, packages: &[String]) -> Result<bool> {
        Ok(candidates(&self.policy(packages)?).len() == packages.len())
    }

    /// The installable packages whose names have this prefix, in no particular order; if there are none, apt's lists are updated
    /// first.
    pub(crate) fn packages(&self, prefix: &str) -> Result<Vec<String>> {
        let look = || -> Result<Vec<String>> {
            let names = workspace::output(self.command("apt-cache").arg("pkgnames").arg(prefix))?;
            let names: Vec<_> = names.lines().map(str::to_owned).collect();
            // Without names, apt would list all packages.
            match names.is_empty() {
                true => Ok(names),
                false => Ok(candidates(&self.policy(&names)?)
                    .into_iter()
                    .map(str::to_owned)
                    .collect()),
            }
        };
        let found = look()?;
        if !found.is_empty() || !self.may_update() {
            return Ok(found);
        }
        println!("      apt-get update, because apt's lists contain no {prefix}…");
        self.update()?;
        look()
    }

    fn policy(&self, packages: &[String]) -> Result<String> {
        workspace::output(self.command("apt-cache").arg("policy").args(packages))
    }

    /// These packages and their dependencies that are not installed. No package of another architecture is ever installed.
    ///
    /// # Errors
    /// apt fails, or knows no such package.
    pub(crate) fn missing(&self, packages: &[&str]) -> Result<Vec<String>> {
        let mut simulation = self.command("apt-get");
        simulation
            .args(["install", "--simulate", "--no-install-recommends"])
            .args(packages);
        Ok(to_install(&workspace::output(&mut simulation)?))
    }

    /// Installs packages.
    ///
    /// # Errors
    /// apt fails; its output is printed.
    pub(crate) fn install(&self, packages: &[String]) -> Result<()> {
        // Whether to remove other packages, such as another Rust, is the user's decision.
        let install = || {
            let mut apt = self.command("apt-get");
            apt.args(["install", "-y", "--no-install-recommends", "--no-remove"])
                .args(packages);
            apt
        };
        if run_reduced(&mut install()).is_ok() {
            return Ok(());
        }
        println!("      retrying after apt-get update: apt's lists may be older than the archive");
        self.update()?;
        run_reduced(&mut install()).with_context(|| format!("cannot install {}", packages.join(" ")))
    }

    /// Unpacks packages into a new `directory` without installing them, so that nothing else changes: no service is started,
    /// no other package is removed.
    ///
    /// # Errors
    /// apt or dpkg fails; their output is printed. The directory does not exist then.
    pub(crate) fn unpack(&self, packages: &[String], directory: &Path) -> Result<()> {
        // A name that marks the directory as incomplete.
        let partial = directory.with_added_extension("partial");
        for old in [&partial, directory] {
            if old.exists() {
                fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
            }
        }
        fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
        let download = || {
            let mut download = self.command("apt-get");
            // Without this, apt would warn that its own user cannot write to the directory.
            download
                .current_dir(&partial)
                .args(["download", "-o", "APT::Sandbox::User=root"])
                .args(packages);
            download
        };
        if run_reduced(&mut download()).is_err() {
            if !self.may_update() {
                bail!(
                    "apt's lists may be older than the archive: run `apt-get update` as root, then this command again"
                );
            }
            println!("      retrying after apt-get update: apt's lists may be older than the archive");
            self.update()?;
            run_reduced(&mut download()).with_context(|| format!("cannot download {}", packages.join(" ")))?;
        }
        let archives = archives(&partial)?;
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

    fn may_update(&self) -> bool {
        self.ours || workspace::is_root()
    }

    fn update(&self) -> Result<()> {
        run_reduced(self.command("apt-get").arg("update"))
    }

    fn command(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        apt.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        apt.args(&self.options);
        apt
    }
}

fn holds_lists(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().contains("_Packages"))
}

fn archives(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths
        .filter(|path| path.extension().is_some_and(|e| e == "deb"))
        .collect())
}

/// The installable packages in the output of `apt-cache policy`.
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

/// The packages that an `apt-get install --simulate` would install.
fn to_install(simulation: &str) -> Vec<String> {
    let steps = simulation.lines().filter_map(|line| line.strip_prefix("Inst "));
    let names = steps.filter_map(|step| step.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
