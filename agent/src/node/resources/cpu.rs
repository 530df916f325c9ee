//! CPU time used by groups, their CFS quotas, and throttling by these.

use super::text::{numbers, value};
use std::{ops::Add, time::Duration};

/// Throttling of a group by its CFS quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Periods in which a thread of the group was ready to run.
    pub periods: u64,
    /// Those of these periods in which the group was throttled.
    pub throttled_periods: u64,
    /// CPU time throttled by the CFS quota, summed over CPUs.
    pub throttled: Duration,
}

impl Add for Bandwidth {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            periods: self.periods + more.periods,
            throttled_periods: self.throttled_periods + more.throttled_periods,
            throttled: self.throttled + more.throttled,
        }
    }
}

/// The contents of cgroup2's `cpu.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// CPU time used. cgroup2 counts it even without the cpu controller.
    pub used: Option<Duration>,
    /// Throttling; only with the cpu controller.
    pub bandwidth: Option<Bandwidth>,
}

/// Parses the file `cpu.stat` of cgroup2.
pub fn stat(text: &str) -> CpuStat {
    let bandwidth = || {
        Some(Bandwidth {
            periods: value(text, "nr_periods")?,
            throttled_periods: value(text, "nr_throttled")?,
            throttled: Duration::from_micros(value(text, "throttled_usec")?),
        })
    };
    CpuStat {
        used: value(text, "usage_usec").map(Duration::from_micros),
        bandwidth: bandwidth(),
    }
}

/// Parses `cpu.stat` of cgroup v1.
pub fn stat_v1(text: &str) -> Option<Bandwidth> {
    Some(Bandwidth {
        periods: value(text, "nr_periods")?,
        throttled_periods: value(text, "nr_throttled")?,
        throttled: Duration::from_nanos(value(text, "throttled_time")?),
    })
}

/// Parses cgroup2's `cpu.max`: the number of CPUs that a group may use. `None` when it may use all.
pub fn limit(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    let period: f64 = words.next()?.parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// The same from `cpu.cfs_quota_us` and `cpu.cfs_period_us` of cgroup v1, where -1 means no quota.
pub fn limit_v1(quota: &str, period: &str) -> Option<f64> {
    limit(&format!("{} {}", quota.trim(), period.trim()))
}

/// Parses `cpuacct.usage` of cgroup v1.
pub fn used_v1(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_nanos)
}

/// Counts the CPUs in a list such as `0-3,8`.
pub fn processors(list: &str) -> Option<u64> {
    let mut all = 0;
    for range in list.trim().split(',') {
        let mut ends = numbers(range, '-');
        let first = ends.next()??;
        let last = ends.next().unwrap_or(Some(first))?;
        all += last.checked_sub(first)? + 1;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_known_without_the_controller_and_throttling_with_it() {
        let without = "usage_usec 108483\nuser_usec 108483\nsystem_usec 0\nnice_usec 0\n";
        let with = "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 21\nnr_throttled 20\nthrottled_usec 1955993\n\
                    nr_bursts 0\nburst_usec 0\n";
        assert_eq!(
            stat(without),
            CpuStat {
                used: Some(Duration::from_micros(108_483)),
                bandwidth: None
            }
        );
        let bandwidth = Bandwidth {
            periods: 21,
            throttled_periods: 20,
            throttled: Duration::from_micros(1_955_993),
        };
        assert_eq!(
            stat(with),
            CpuStat {
                used: Some(Duration::from_micros(7)),
                bandwidth: Some(bandwidth)
            }
        );
        assert_eq!(stat(""), CpuStat::default());
        let v1 = "nr_periods 21\nnr_throttled 20\nthrottled_time 1955993000\nnr_bursts 0\nburst_time 0\n";
        assert_eq!(stat_v1(v1), Some(bandwidth));
        assert_eq!(stat_v1("nr_periods 21\n"), None);
        assert_eq!(used_v1("1500\n"), Some(Duration::from_nanos(1500)));
    }

    #[test]
    fn a_quota_is_a_number_of_processors() {
        assert_eq!(limit("5000 100000\n"), Some(0.05));
        assert_eq!(limit("250000 100000\n"), Some(2.5));
        assert_eq!(limit("max 100000\n"), None);
        assert_eq!(limit(""), None);
        assert_eq!(limit_v1("150000\n", "100000\n"), Some(1.5));
        assert_eq!(limit_v1("-1\n", "100000\n"), None);
        assert_eq!(limit_v1("", ""), None);
    }

    #[test]
    fn processors_are_counted() {
        assert_eq!(processors("0-1\n"), Some(2));
        assert_eq!(processors("0\n"), Some(1));
        assert_eq!(processors("0-3,8,10-11\n"), Some(7));
        for wrong in ["", "x", "3-1", "1-"] {
            assert_eq!(processors(wrong), None, "{wrong}");
        }
    }
}
