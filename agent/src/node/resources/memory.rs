//! Memory: working set, limits and OOM kills.

use super::text::value;

/// The working set, in bytes: the memory charged to the group, without file pages that have not been used for a while, which the
/// kernel reclaims before it kills a process. kubelet uses the same figure. `key` is the line of `memory.stat` with these
/// pages: `inactive_file`, or in cgroup v1 `total_inactive_file`, which includes the groups below, as the charge does.
pub fn working_set(charged: &str, stat: &str, key: &str) -> Option<u64> {
    let charged: u64 = charged.trim().parse().ok()?;
    Some(charged.saturating_sub(value(stat, key)?))
}

/// Parses `memory.max` or `memory.limit_in_bytes`, in bytes. `None` when there is no limit: the word `max`, or at least the
/// machine's memory, as cgroup v1 writes a huge number.
pub fn limit(text: &str, machine: Option<u64>) -> Option<u64> {
    let limit = text.trim().parse().ok()?;
    machine.is_none_or(|machine| limit < machine).then_some(limit)
}

/// The number of OOM kills in the group: `memory.events`, or `memory.oom_control` of cgroup v1 (Linux 4.13 and newer).
pub fn oom_kills(text: &str) -> Option<u64> {
    value(text, "oom_kill")
}

/// The memory of a process that the kernel cannot reclaim without swap, in bytes, from `/proc/<pid>/status`. Shared memory
/// counts for each process. `None` for a process that has exited.
pub fn of_process(status: &str) -> Option<u64> {
    let kilobytes = value(status, "RssAnon")? + value(status, "RssShmem")?;
    Some(kilobytes * 1024)
}

/// The memory of the machine, in bytes, from `/proc/meminfo`.
pub fn of_machine(meminfo: &str) -> Option<u64> {
    Some(value(meminfo, "MemTotal")? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_set_leaves_out_what_was_read_once() {
        let stat = "anon 100\nfile 900\ninactive_anon 60\nactive_anon 40\ninactive_file 700\nactive_file 200\n";
        assert_eq!(working_set("1000\n", stat, "inactive_file"), Some(300));
        let v1 = "inactive_file 1\nhierarchical_memory_limit 9\ntotal_inactive_file 700\n";
        assert_eq!(working_set("1000\n", v1, "total_inactive_file"), Some(300));
        // The two files are read one after the other, so the difference may be negative.
        assert_eq!(working_set("500\n", stat, "inactive_file"), Some(0));
        assert_eq!(working_set("", stat, "inactive_file"), None);
        assert_eq!(working_set("500\n", "", "inactive_file"), None);
    }

    #[test]
    fn no_limit_is_a_word_or_a_huge_number() {
        let machine = Some(8 << 30);
        assert_eq!(limit("max\n", machine), None);
        assert_eq!(limit("9223372036854771712\n", machine), None);
        assert_eq!(limit("8589934592\n", machine), None);
        assert_eq!(limit("268435456\n", machine), Some(256 << 20));
        assert_eq!(limit("", machine), None);
    }

    #[test]
    fn kills_are_counted_in_both_versions() {
        let events = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n";
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!((oom_kills(events), oom_kills(control)), (Some(1), Some(3)));
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\n"), None);
    }

    #[test]
    fn a_process_holds_its_own_pages_and_shared_ones() {
        let status =
            "Name:\tenvoy\nVmRSS:\t    9000 kB\nRssAnon:\t    4000 kB\nRssFile:\t    4000 kB\nRssShmem:\t    1000 kB\n";
        assert_eq!(of_process(status), Some(5000 * 1024));
        assert_eq!(of_process("Name:\tenvoy\nState:\tZ (zombie)\n"), None);
        assert_eq!(
            of_machine("MemTotal:       24683520 kB\nMemFree: 1 kB\n"),
            Some(24_683_520 * 1024)
        );
    }
}
