//! Kernels to test on: their packages, and where they are unpacked.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    system::{apt::Apt, architecture::Architecture, family::Family},
    workspace::{find_program, output},
};

/// The newest kernel of a series, as Debian builds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// The first numbers of the release, for example `6.12`.
    pub(crate) series: &'static str,
    pub(crate) architecture: Architecture,
}

impl Image {
    /// The prefix and suffix of the names of its packages.
    fn affixes(self) -> (String, String) {
        let start = format!("linux-image-{}.", self.series);
        (start, format!("-cloud-{}", self.architecture.debian()))
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.architecture.is_here() {
            true => f.write_str(self.series),
            false => write!(f, "{}-{}", self.series, self.architecture.debian()),
        }
    }
}

/// A kernel that can be booted.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The release, as `uname -r` prints it.
    pub(crate) release: String,
    /// The bootable image.
    pub(crate) image: PathBuf,
    /// The directory of its modules, `lib/modules/<release>`.
    pub(crate) modules: PathBuf,
}

/// The directory in which a kernel is unpacked.
pub(crate) fn directory(target_dir: &Path, image: Image) -> PathBuf {
    target_dir.join("vm").join(format!("linux-{image}"))
}

/// Whether the kernel is unpacked.
pub(crate) fn is_there(target_dir: &Path, image: Image) -> bool {
    find(target_dir, image).is_ok()
}

/// The kernel that was unpacked.
///
/// # Errors
/// It is not unpacked, or a part of it is missing.
pub(crate) fn find(target_dir: &Path, image: Image) -> Result<Kernel> {
    let directory = directory(target_dir, image);
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

/// The file of depmod with the dependencies of modules.
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
        .with_context(|| format!("{} contains no vmlinuz-…", boot.display()))
}

/// Downloads and unpacks the newest kernel of a series. It is not installed, as this machine could then boot it.
///
/// # Errors
/// There is no such package, or apt, dpkg or depmod fails.
pub(crate) fn install(target_dir: &Path, image: Image, family: Family) -> Result<()> {
    let directory = directory(target_dir, image);
    let (prefix, suffix) = image.affixes();
    if family != Family::Debian {
        bail!(
            "the tests boot Debian's kernels, which only apt can fetch: unpack {prefix}…{suffix} into {} and run depmod there",
            directory.display()
        );
    }
    let apt = Apt::of(image.architecture, target_dir)?;
    let names = apt.packages(&prefix)?;
    let Some(package) = newest(&names, &prefix, &suffix) else {
        bail!("apt knows no package {prefix}…{suffix}: Debian 12 with its security updates has them")
    };
    println!("      {package}");
    apt.unpack(&[package.to_owned()], &directory)?;
    let depmod = find_program("depmod").context("no depmod: install kmod")?;
    output(Command::new(depmod).arg("-b").arg(&directory).arg(release(&directory)?))?;
    Ok(())
}

/// The package with the highest version. Cloud kernels are small, and have all that a guest needs.
fn newest<'a>(packages: &'a [String], prefix: &str, suffix: &str) -> Option<&'a str> {
    let version = |package: &str| -> Option<Vec<u32>> {
        let version = package.strip_prefix(prefix)?.strip_suffix(suffix)?;
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
            "linux-image-6.12.115+deb12-cloud-arm64",
        ]
        .map(str::to_owned);
        let newest = |suffix| newest(&names, "linux-image-6.12.", suffix);
        assert_eq!(newest("-cloud-amd64"), Some("linux-image-6.12.113+deb12-cloud-amd64"));
        assert_eq!(newest("-cloud-arm64"), Some("linux-image-6.12.115+deb12-cloud-arm64"));
    }

    #[test]
    fn debians_own_numbers_count_too() {
        let names = ["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"].map(str::to_owned);
        assert_eq!(
            newest(&names, "linux-image-6.1.", "-cloud-amd64"),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(newest(&names, "linux-image-6.12.", "-cloud-amd64"), None);
    }
}
