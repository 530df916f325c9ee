//! The saturation of a point by resource, from 0 (idle) to 1 (full). What cannot be known is `None`, never 0.

use std::time::Duration;

/// CPU: the greatest of three shares of the last tick. The CPU time used, of what it may use; the periods in which its quota
/// throttled it, of those in which it wanted to run; and the time that its threads waited for a CPU, of the time that they waited
/// or ran. A quota throttles bursts, and neighbours take CPUs away, long before the usage shows it.
pub fn cpu(used: Option<f64>, throttled: Option<f64>, waiting: Option<f64>) -> Option<f64> {
    greatest([used, throttled, waiting].into_iter().flatten())
}

/// Memory: for each cgroup on the path to the root that has a limit, its working set as a share of that limit; the greatest counts,
/// because the kernel kills when the first of them is full. Without any limit, the point's own working set as a share of the
/// machine's memory.
pub fn memory(limited: impl Iterator<Item = (u64, u64)>, own: Option<u64>, machine: Option<u64>) -> Option<f64> {
    let limited = greatest(limited.filter_map(|(used, limit)| share(used as f64, limit as f64)));
    limited.or_else(|| share(own? as f64, machine? as f64))
}

/// Accept queues: the fullest one. `None` when nothing listens.
pub fn accept_queue(utilizations: impl Iterator<Item = f64>) -> Option<f64> {
    greatest(utilizations)
}

/// Open files as a share of the soft limit, for the process that is closest to it.
pub fn open_files(open: u64, limit: u64) -> Option<f64> {
    share(open as f64, limit as f64)
}

/// Backlog: connections with bytes that the point has not read for at least a tick, as a share of the open ones. 0 without open
/// connections.
pub fn backlog(unread: u64, open: u64) -> Option<f64> {
    if open == 0 {
        return Some(0.0);
    }
    share(unread as f64, open as f64)
}

/// Ephemeral ports: those in use toward the destination with the most of them, as a share of the range. A port can be used once for
/// each destination.
pub fn ephemeral_ports(in_use: u64, range: u64) -> Option<f64> {
    share(in_use as f64, range as f64)
}

/// CPU time used, as a share of what so many CPUs provide in that time.
pub fn of_processors(used: Duration, elapsed: Duration, processors: f64) -> Option<f64> {
    share(used.as_secs_f64(), elapsed.as_secs_f64() * processors)
}

/// Time waited for a CPU, as a share of the time waited or ran; 0 without either.
pub fn waiting(waited: Duration, ran: Duration) -> Option<f64> {
    if waited + ran == Duration::ZERO {
        return Some(0.0);
    }
    share(waited.as_secs_f64(), (waited + ran).as_secs_f64())
}

/// How close a point is to being a single point of failure under load: the saturation of its fullest resource, times the share of
/// the workloads that depend on it.
pub fn choke_risk(worst: f64, dependents: usize, workloads: usize) -> Option<f64> {
    Some(worst * share(dependents as f64, workloads as f64)?)
}

/// `None` when the whole is 0. Values that are measured at two moments may come out slightly above the whole.
pub(super) fn share(part: f64, all: f64) -> Option<f64> {
    (all > 0.0).then(|| (part / all).clamp(0.0, 1.0))
}

fn greatest(shares: impl Iterator<Item = f64>) -> Option<f64> {
    shares.reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_worst_of_what_is_known_counts() {
        assert_eq!(cpu(Some(0.3), Some(0.9), Some(0.1)), Some(0.9));
        assert_eq!(cpu(Some(0.3), None, None), Some(0.3));
        assert_eq!(cpu(None, None, Some(0.2)), Some(0.2));
        assert_eq!(cpu(None, None, None), None);
        assert_eq!(accept_queue([0.1, 0.7, 0.0].into_iter()), Some(0.7));
        assert_eq!(accept_queue(std::iter::empty()), None);
    }

    #[test]
    fn a_share_lies_between_idle_and_full() {
        assert_eq!(of_processors(SECOND, SECOND * 2, 1.0), Some(0.5));
        assert_eq!(of_processors(SECOND * 3, SECOND, 2.0), Some(1.0));
        assert_eq!(of_processors(SECOND, Duration::ZERO, 2.0), None);
        assert_eq!(open_files(512, 1024), Some(0.5));
        assert_eq!(open_files(0, 0), None);
        assert_eq!(ephemeral_ports(28_232, 28_232), Some(1.0));
        assert_eq!(ephemeral_ports(0, 0), None);
    }

    #[test]
    fn who_has_nothing_to_do_is_idle() {
        assert_eq!(waiting(SECOND, SECOND * 3), Some(0.25));
        assert_eq!(waiting(Duration::ZERO, Duration::ZERO), Some(0.0));
        assert_eq!(backlog(0, 0), Some(0.0));
        assert_eq!(backlog(3, 4), Some(0.75));
    }

    #[test]
    fn a_full_point_without_dependents_chokes_nobody() {
        assert_eq!(choke_risk(0.5, 3, 6), Some(0.25));
        assert_eq!(choke_risk(1.0, 0, 6), Some(0.0));
        assert_eq!(choke_risk(1.0, 0, 0), None);
    }

    #[test]
    fn the_fullest_limit_kills_first() {
        let limits = [(100, 1000), (900, 1000)];
        assert_eq!(memory(limits.into_iter(), Some(100), Some(10_000)), Some(0.9));
        assert_eq!(memory(std::iter::empty(), Some(100), Some(10_000)), Some(0.01));
        assert_eq!(memory(std::iter::empty(), None, Some(10_000)), None);
        assert_eq!(memory(std::iter::empty(), Some(100), None), None);
    }
}
