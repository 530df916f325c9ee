//! Open files of processes, and their limits.

use std::{fs, path::Path};

/// `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH`: either allows listing directories regardless of permissions.
const OVERRIDES: u64 = 1 << 1 | 1 << 2;

/// Open files of one process, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// The number of open files.
    pub open: u64,
    /// The soft limit of open files.
    pub limit: u64,
}

impl Files {
    /// Open files divided by the limit; 1 is full.
    pub fn share(&self) -> f64 {
        self.open as f64 / self.limit.max(1) as f64
    }
}

/// How open files are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the size of `/proc/<pid>/fd`, which is the number of open files (Linux 6.2 and newer). It is cheap, and needs no
    /// privilege.
    Size,
    /// By listing the directory, which takes long when there are many.
    List,
}

impl Way {
    /// The way that this kernel offers, tested with a process that has open files.
    pub fn find(process: &Path) -> Self {
        // Before Linux 6.2, the size of the directory is 0.
        match fs::metadata(process.join("fd")) {
            Ok(directory) if directory.len() > 0 => Self::Size,
            _ => Self::List,
        }
    }

    /// Whether a process with this `/proc/<pid>/status` can count the files of other users' processes.
    pub fn is_allowed(self, status: &str) -> Result<(), String> {
        let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let capabilities = capabilities.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        if self == Self::Size || capabilities.is_some_and(|mask| mask & OVERRIDES != 0) {
            return Ok(());
        }
        Err("before Linux 6.2, counting the files of other users' processes needs CAP_DAC_READ_SEARCH".to_owned())
    }

    /// Counts the open files of a process; `process` is its directory in `/proc`. `None` when it has exited or may not be
    /// inspected.
    pub fn read(self, process: &Path) -> Option<Files> {
        let directory = process.join("fd");
        let open = match self {
            Self::Size => fs::metadata(directory).ok()?.len(),
            Self::List => fs::read_dir(directory).ok()?.count() as u64,
        };
        let limit = limit(&fs::read_to_string(process.join("limits")).ok()?)?;
        Some(Files { open, limit })
    }
}

/// The soft limit in `/proc/<pid>/limits`.
fn limit(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        limit => limit.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                          Max processes             94036                94036                processes \n\
                          Max open files            1024                 524288               files     \n";

    #[test]
    fn the_soft_limit_counts() {
        assert_eq!(limit(LIMITS), Some(1024));
        assert_eq!(
            limit("Max open files            unlimited            unlimited            files\n"),
            Some(u64::MAX)
        );
        assert_eq!(limit("Max processes 5 5 processes\n"), None);
    }

    #[test]
    fn others_may_be_listed_with_a_capability() {
        let status =
            |mask: u64| format!("CapPrm:\t000001ffffffffff\nCapEff:\t{mask:016x}\nCapBnd:\t000001ffffffffff\n");
        let bpf_perfmon_ptrace = 1_u64 << 39 | 1 << 38 | 1 << 19;
        assert_eq!(Way::Size.is_allowed(&status(0)), Ok(()));
        assert!(Way::List.is_allowed(&status(bpf_perfmon_ptrace)).is_err());
        assert_eq!(Way::List.is_allowed(&status(bpf_perfmon_ptrace | 1 << 2)), Ok(()));
        assert!(Way::List.is_allowed("").is_err());
    }

    #[test]
    fn its_own_files_are_counted() {
        let own = Path::new("/proc/self");
        let held: Vec<_> = (0..50).map(|_| File::open("/dev/null").expect("opened")).collect();
        for way in [Way::List, Way::find(own)] {
            let files = way.read(own).expect("its own files");
            assert!(
                files.open >= held.len() as u64 && files.open < files.limit,
                "{way:?} {files:?}"
            );
        }
        assert_eq!(Way::List.read(Path::new("/proc/self/no-such-process")), None);
    }

    #[test]
    fn a_directory_is_listed_where_the_kernel_does_not_say_its_size() {
        let process = tempfile::tempdir().expect("a directory");
        fs::create_dir(process.path().join("fd")).expect("made");
        for n in 0..7 {
            fs::write(process.path().join(format!("fd/{n}")), "").expect("written");
        }
        fs::write(process.path().join("limits"), LIMITS).expect("written");
        let expected = Files { open: 7, limit: 1024 };
        assert_eq!(Way::List.read(process.path()), Some(expected));
        assert!((expected.share() - 7.0 / 1024.0).abs() < 1e-12);
    }
}
