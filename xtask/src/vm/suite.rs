//! The tests that run in the guests, with reasons.

use crate::guests::guest::Guest;

/// Tests of the agent that other kernels have to pass.
///
/// These are the tests that depend on the kernel: what its programs read and count, and what the agent requests from it. Tests that
/// only read files or talk to an API server give the same result on every kernel, and run on the host only.
pub(crate) const SUITE: [Entry; 15] = [
    // All ways in which a connection can end. Kernels differ in which end sends a reset, and in the tracepoints that report it.
    Entry {
        tests: "outcomes",
        pick: Pick::All,
        programs: &[],
    },
    // Iterators over sockets and maps: adoption, samples, full and idle tables.
    Entry {
        tests: "open",
        pick: Pick::All,
        programs: &[],
    },
    // Fields of sockets, whose offsets differ between kernels.
    Entry {
        tests: "roles",
        pick: Pick::All,
        programs: &[],
    },
    // Cgroups and namespaces as owners, and recognition by processes. An emulated Envoy takes minutes to start, and its counts
    // would add nothing to those of `outcomes`.
    Entry {
        tests: "mesh",
        pick: Pick::But(&[
            "a_thousand_connections_through_a_real_envoy",
            "a_killed_envoy_shows_at_its_callers",
        ]),
        programs: &["tail"],
    },
    // The agent's status on this kernel, and without a part of it. The test with promtool only parses text.
    Entry {
        tests: "interface",
        pick: Pick::But(&["metrics_come_in_both_formats_and_promtool_accepts_them"]),
        programs: &["mount", "umount", "unshare"],
    },
    // Reads, writes, threads and processes of points: the hooks and fields that differ most between kernels.
    Entry {
        tests: "inside",
        pick: Pick::All,
        programs: &["haproxy"],
    },
    // The socket of a dropped received packet is reported from Linux 6.11 on.
    Entry {
        tests: "drops",
        pick: Pick::All,
        programs: &[],
    },
    // Links and maps that outlive the agent, and the handover between programs while connections begin and end.
    Entry {
        tests: "takeover",
        // These tests are about files and messages, which do not depend on the kernel.
        pick: Pick::But(&[
            "a_directory_that_cannot_be_used_is_said_and_done_without",
            "another_layout_says_what_the_gap_was",
            "one_agent_at_a_time",
            "what_is_left_half_made_or_damaged_is_not_gone_on_with",
        ]),
        programs: &[],
    },
    // Behaviour that differs between kernel versions: repeated SYN-ACKs, exits of threads, splice, Multipath TCP.
    Entry {
        tests: "findings",
        pick: Pick::All,
        programs: &[],
    },
    // Runs that the kernel skips when a program is interrupted: exact to the last connection.
    Entry {
        tests: "steering",
        // Ending connections without a twin does not depend on the kernel.
        pick: Pick::But(&["connections_that_are_open_by_the_counters_alone_end"]),
        programs: &[],
    },
    // Which connections a proxy in the same network namespace carried: seen at both ends of a handshake.
    Entry {
        tests: "dependency",
        // These tests are about numbers of workloads, labels, and rules.
        pick: Pick::But(&[
            "bounds::a_thousand_dependents_are_two_hundred_and_the_others",
            "bounds::beyond_the_limit_sidecars_are_minimal_and_no_counter_goes_back",
            "cluster::labels_say_which_waypoint_is_to_be_passed",
            "prometheus::rules_make_one_point_of_instances_on_several_nodes",
            "ztunnels::a_ztunnel_that_ends_is_missed_on_its_node_by_its_workloads",
        ]),
        programs: &["haproxy"],
    },
    // Limits with all controllers in cgroup2; the host of these tests may have those of cgroup v1.
    Entry {
        tests: "resources",
        // This test is about manifests and privileges, which do not depend on the kernel.
        pick: Pick::But(&["a_pod_is_measured_with_the_privileges_of_the_daemon_set"]),
        programs: &["prlimit"],
    },
    // Queues, file descriptors and losses, with HAProxy as the point. Tests that need an Envoy, or a dedicated CPU, do not
    // run under emulation.
    Entry {
        tests: "saturation",
        pick: Pick::But(&[
            "accept_queue::three_hundred_callers_before_a_proxy_that_hangs",
            "backlog::an_upstream_that_stops_reading_closes_its_window",
            "backlog::an_application_that_never_accepts",
            "exits::a_proxy_ends_is_killed_and_begins_again",
            "exits::a_proxy_that_keeps_too_much_for_a_server_that_does_not_read_is_killed_for_want_of_memory",
            "handshakes::a_certificate_that_is_wrong_is_a_connection_closed_early",
            "handshakes::plain_text_on_a_tls_port_is_a_connection_closed_early",
            "loss::a_server_that_is_gone_is_a_time_out_in_either_phase",
            "processor::its_own_quota_is_nobody_elses_fault",
            "processor::neighbours_of_its_callers_are_none_of_its_delay",
            "processor::neighbours_on_its_processor_are_seen_as_time_before_it_reads",
            "processor::what_the_node_runs_itself_is_no_workload",
        ]),
        programs: &["haproxy", "nstat"],
    },
    // Threads that read from one connection and write to another, and who accepts: from Linux 6.3 on.
    Entry {
        tests: "paths",
        pick: Pick::But(&[
            "matrix::each_connection_through_envoy_has_its_caller",
            "refusal::a_destination_that_resets_is_told_for_its_callers",
            "refusal::through_envoy_as_tcp",
            "web::requests_that_envoy_finds_nobody_for_are_failures_of_their_callers",
            "web::requests_through_envoy_have_their_callers",
            // How HAProxy repeats attempts and pools connections does not depend on the kernel.
            "refusal::through_haproxy_as_tcp",
            "web::requests_through_haproxy_have_their_callers",
        ]),
        programs: &["haproxy"],
    },
    // Each program of the agent in turn, as if the kernel had refused it: only on the kernel with the fewest features.
    Entry {
        tests: "refused",
        pick: Pick::All,
        programs: &[],
    },
];

/// The entries of [`SUITE`] that run on a guest.
pub(crate) fn on(guest: Guest) -> impl Iterator<Item = &'static Entry> {
    SUITE.iter().filter(move |entry| match guest {
        Guest::V6_1 => entry.tests != "paths",
        // Between the oldest kernel and the host's, which run all of them: those whose hooks, fields or behaviour have changed between
        // the two.
        Guest::V6_12 => [
            "outcomes",
            "open",
            "interface",
            "inside",
            "drops",
            "findings",
            "steering",
            "paths",
        ]
        .contains(&entry.tests),
        // The difference is which programs the kernel loads, and how the agent reports the others: the
        // required ones have to count everything, and `check` has to name the others.
        Guest::Lockdown => ["outcomes", "open", "interface"].contains(&entry.tests),
        // The differences are the code of the JIT compiler, and the layout of kernel structures.
        Guest::Arm64 => ["outcomes", "open", "roles", "mesh"].contains(&entry.tests),
    })
}

/// Programs that the miniature mesh calls in every test.
pub(crate) const PROGRAMS: [&str; 7] = ["sh", "cat", "ip", "bridge", "tc", "iptables", "ip6tables"];

/// A file in `agent/tests`.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name of the file.
    pub(crate) tests: &'static str,
    /// Which of its tests run.
    pub(crate) pick: Pick,
    /// Programs that they call in addition to [`PROGRAMS`].
    pub(crate) programs: &'static [&'static str],
}

/// A selection of a file's tests.
#[derive(Debug)]
pub(crate) enum Pick {
    /// All tests of the file.
    All,
    /// All tests but these.
    But(&'static [&'static str]),
}

impl Entry {
    /// The tests to run, of all tests of the file.
    ///
    /// # Errors
    /// The table names a test that does not exist.
    pub(crate) fn pick<'a>(&self, all: &[&'a str]) -> Result<Vec<&'a str>, String> {
        let without: &[&str] = match self.pick {
            Pick::All => &[],
            Pick::But(without) => without,
        };
        match without.iter().find(|name| !all.contains(name)) {
            Some(name) => Err(format!(
                "the table in xtask/src/vm/suite.rs names {}::{name}, which does not exist",
                self.tests
            )),
            None => Ok(all.iter().copied().filter(|name| !without.contains(name)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_has_tests() {
        let names = |guest| on(guest).map(|entry| entry.tests).collect::<Vec<_>>();
        assert_eq!(names(Guest::V6_1).len(), SUITE.len() - 1);
        assert_eq!(names(Guest::V6_12).len(), 8);
        assert_eq!(names(Guest::Lockdown), ["outcomes", "open", "interface"]);
        assert_eq!(names(Guest::Arm64), ["outcomes", "open", "roles", "mesh"]);
    }

    #[test]
    fn an_exception_has_to_exist() {
        let entry = Entry {
            tests: "mesh",
            pick: Pick::But(&["slow"]),
            programs: &[],
        };
        assert_eq!(entry.pick(&["quick", "slow"]), Ok(vec!["quick"]));
        let error = entry.pick(&["quick"]).expect_err("renamed, say");
        assert!(error.contains("mesh::slow"), "{error}");
    }
}
