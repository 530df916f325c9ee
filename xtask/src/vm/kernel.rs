//! Kernels to test on: which there are, where they come from, where they lie.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{
    setup::system::{Family, apt_packages, apt_unpack},
    workspace::{find_program, output},
};

/// A series of kernel releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Series {
    /// That of Debian 12
    #[value(name = "6.1")]
    V6_1,
    /// That of Debian 13, also built for Debian 12
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    pub(crate) const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A kernel that can be booted.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` will say.
    pub(crate) release: String,
    /// What a boot loader loads.
    pub(crate) image: PathBuf,
    /// The directory of its modules, `lib/modules/<release>`.
    pub(crate) modules: PathBuf,
}

/// Where a series' kernel is unpacked.
pub(crate) fn directory(target_dir: &Path, series: Series) -> PathBuf {
    target_dir.join("vm").join(format!("linux-{series}"))
}

/// Whether a kernel of the series is in place.
pub(crate) fn is_there(target_dir: &Path, series: Series) -> bool {
    find(target_dir, series).is_ok()
}

/// The kernel of a series.
///
/// # Errors
/// It is not in place, or a part of it is missing.
pub(crate) fn find(target_dir: &Path, series: Series) -> Result<Kernel> {
    let directory = directory(target_dir, series);
    let release = release(&directory)?;
    let kernel = Kernel {
        image: directory.join("boot").join(format!("vmlinuz-{release}")),
        modules: directory.join("lib/modules").join(&release),
        release,
    };
    for file in [kernel.image.clone(), kernel.modules.join(DEPENDENCIES)] {
        if !file.is_file() {
            bail!(
                "{} is missing: remove {} and run `cargo xtask setup`",
                file.display(),
                directory.display()
            );
        }
    }
    Ok(kernel)
}

/// Made by depmod: which module needs which.
pub(crate) const DEPENDENCIES: &str = "modules.dep";

/// The release of an unpacked kernel.
fn release(directory: &Path) -> Result<String> {
    let boot = directory.join("boot");
    let entries =
        fs::read_dir(&boot).with_context(|| format!("no kernel in {}: run `cargo xtask setup`", boot.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut releases = names.filter_map(|name| name.to_str()?.strip_prefix("vmlinuz-").map(str::to_owned));
    releases
        .next()
        .with_context(|| format!("{} holds no vmlinuz-…", boot.display()))
}

/// Downloads and unpacks the newest kernel of a series. It is not installed: that would make it one of this machine's own.
///
/// # Errors
/// There is no such package, or apt, dpkg or depmod fails.
pub(crate) fn install(target_dir: &Path, series: Series, family: Family) -> Result<()> {
    let directory = directory(target_dir, series);
    let prefix = format!("linux-image-{series}.");
    if family != Family::Debian {
        bail!(
            "the tests boot Debian's kernels, which only apt can fetch: unpack {prefix}…-cloud-amd64 into {} and run depmod there",
            directory.display()
        );
    }
    let names = apt_packages(&prefix)?;
    let Some(package) = newest(&names, &prefix) else {
        bail!("apt knows no package {prefix}…-cloud-amd64: Debian 12 with its security updates has them")
    };
    println!("      {package}");
    apt_unpack(&[package.to_owned()], &directory)?;
    let depmod = find_program("depmod").context("no depmod: install kmod")?;
    output(Command::new(depmod).arg("-b").arg(&directory).arg(release(&directory)?))?;
    Ok(())
}

/// The package with the highest version; those for the cloud are small, and have all that a guest needs.
fn newest<'a>(packages: &'a [String], prefix: &str) -> Option<&'a str> {
    let version = |package: &str| -> Option<Vec<u32>> {
        let version = package.strip_prefix(prefix)?.strip_suffix("-cloud-amd64")?;
        let numbers = version
            .split(|c: char| !c.is_ascii_digit())
            .filter(|part| !part.is_empty());
        numbers.map(|number| number.parse().ok()).collect()
    };
    let known = packages.iter().filter_map(|package| Some((version(package)?, package)));
    known.max().map(|(_, package)| package.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_is_the_newest() {
        let names = [
            "linux-image-6.12.99+deb12-cloud-amd64",
            "linux-image-6.12.113+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64-dbg",
            "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
            "linux-image-6.12.200+deb12-amd64",
        ]
        .map(str::to_owned);
        let newest = newest(&names, "linux-image-6.12.");
        assert_eq!(newest, Some("linux-image-6.12.113+deb12-cloud-amd64"));
    }

    #[test]
    fn debians_own_numbers_count_too() {
        let names = ["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"].map(str::to_owned);
        assert_eq!(
            newest(&names, "linux-image-6.1."),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(newest(&names, "linux-image-6.12."), None);
    }
}
