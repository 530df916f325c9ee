//! The agent's own process, under the metric names of Prometheus's client libraries.

use procfs::{WithCurrentSystemInfo, process::Process};

/// The kernel's statistics of this process, from `/proc`.
pub struct Own {
    /// CPU time in user and kernel mode, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// Number of open file descriptors.
    pub open_files: usize,
    /// Limit of open file descriptors.
    pub open_files_limit: u64,
    /// When it started, in seconds since 1970.
    pub start_seconds: f64,
}

/// Reads the statistics; `None` when `/proc` does not have them.
pub fn read() -> Option<Own> {
    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let ticks = procfs::ticks_per_second() as f64;
    let limit = process.limits().ok()?.max_open_files.soft_limit;
    let boot = procfs::boot_time_secs().ok()? as f64;
    Some(Own {
        cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
        resident_bytes: stat.rss_bytes().get(),
        virtual_bytes: stat.vsize,
        open_files: process.fd_count().ok()?,
        open_files_limit: match limit {
            procfs::process::LimitValue::Unlimited => u64::MAX,
            procfs::process::LimitValue::Value(limit) => limit,
        },
        start_seconds: boot + stat.starttime as f64 / ticks,
    })
}
