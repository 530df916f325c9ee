//! What runs in the guests, and why.

use crate::guests::guest::Guest;

/// Tests of the agent that other kernels have to pass.
///
/// Here belongs what depends on the kernel: what its programs read and count, and what the agent asks it. What only reads
/// files or talks to an API server is the same everywhere and stays on the host.
pub(crate) const SUITE: [Entry; 13] = [
    // Every kind of end of a connection. Kernels differ in who sends a reset, and in the tracepoints that tell of it.
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
    // What is read off a socket by offsets that differ between kernels.
    Entry {
        tests: "roles",
        pick: Pick::All,
        programs: &[],
    },
    // Cgroups and namespaces as owners, and processes as what is known of them. An emulated Envoy takes minutes to start,
    // and what is counted of it does not differ from what `outcomes` counts.
    Entry {
        tests: "mesh",
        pick: Pick::But(&[
            "a_thousand_connections_through_a_real_envoy",
            "a_killed_envoy_shows_at_its_callers",
        ]),
        programs: &["tail"],
    },
    // What the agent says of the kernel it is on, and without a part of it. Promtool reads a text, which is no different.
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
    // Links and maps that outlive the agent, and the exchange of programs while connections begin and end.
    Entry {
        tests: "takeover",
        // Those are about files and sentences, which are no different.
        pick: Pick::But(&[
            "a_directory_that_cannot_be_used_is_said_and_done_without",
            "another_layout_says_what_the_gap_was",
            "one_agent_at_a_time",
            "what_is_left_half_made_or_damaged_is_not_gone_on_with",
        ]),
        programs: &[],
    },
    // Facts of the kernel that differ between versions: repeated SYN-ACKs, ends of threads, splice, Multipath TCP.
    Entry {
        tests: "findings",
        pick: Pick::All,
        programs: &[],
    },
    // Programs that are interrupted by themselves, of which the kernel leaves out runs: here, to the last connection.
    Entry {
        tests: "steering",
        // What is ended without a twin is no different.
        pick: Pick::But(&["connections_that_are_open_by_the_counters_alone_end"]),
        programs: &[],
    },
    // Which connections a proxy in the same network namespace carried: seen at both ends of a handshake.
    Entry {
        tests: "dependency",
        // Those are about numbers of workloads, about labels, and about rules.
        pick: Pick::But(&[
            "bounds::a_thousand_dependents_are_two_hundred_and_the_others",
            "cluster::labels_say_which_waypoint_is_to_be_passed",
            "prometheus::rules_make_one_point_of_instances_on_several_nodes",
        ]),
        programs: &["haproxy"],
    },
    // Limits by cgroup2 alone, with all controllers; the host of these tests may have those of cgroup v1.
    Entry {
        tests: "resources",
        // That one is about manifests and privileges, which are no different.
        pick: Pick::But(&["a_pod_is_measured_with_the_privileges_of_the_daemon_set"]),
        programs: &["prlimit"],
    },
    // Queues, descriptors and losses, with HAProxy as the point. What needs an Envoy, or a processor of one's own, does not
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
    // Each program of the agent in turn, as if the kernel had refused it: on the kernel that offers the least.
    Entry {
        tests: "refused",
        pick: Pick::All,
        programs: &[],
    },
];

/// The entries of [`SUITE`] that run on a guest.
pub(crate) fn on(guest: Guest) -> impl Iterator<Item = &'static Entry> {
    SUITE.iter().filter(move |entry| match guest {
        Guest::V6_1 => true,
        // What the agent makes of a refusal is no different, and takes minutes.
        Guest::V6_12 => entry.tests != "refused",
        // What is different is which programs the kernel loads, and what the agent says about those that it does not: the
        // required ones have to count everything, and `check` has to name the others.
        Guest::Lockdown => ["outcomes", "open", "interface"].contains(&entry.tests),
        // What is different is the code that the kernel makes of its programs, and where it keeps things.
        Guest::Arm64 => ["outcomes", "open", "roles", "mesh"].contains(&entry.tests),
    })
}

/// What the miniature mesh calls, in every test.
pub(crate) const PROGRAMS: [&str; 7] = ["sh", "cat", "ip", "bridge", "tc", "iptables", "ip6tables"];

/// A file in `agent/tests`.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) tests: &'static str,
    /// Which of its tests run.
    pub(crate) pick: Pick,
    /// Programs of this machine that they call, beside [`PROGRAMS`].
    pub(crate) programs: &'static [&'static str],
}

/// Some of a file's tests.
#[derive(Debug)]
pub(crate) enum Pick {
    /// All of them.
    All,
    /// All but these.
    But(&'static [&'static str]),
}

impl Entry {
    /// The tests to run, of all that there are.
    ///
    /// # Errors
    /// The table names a test that there is not.
    pub(crate) fn pick<'a>(&self, all: &[&'a str]) -> Result<Vec<&'a str>, String> {
        let without: &[&str] = match self.pick {
            Pick::All => &[],
            Pick::But(without) => without,
        };
        match without.iter().find(|name| !all.contains(name)) {
            Some(name) => Err(format!(
                "the table in xtask/src/vm/suite.rs names {}::{name}, which there is not",
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
        assert_eq!(names(Guest::V6_1).len(), SUITE.len());
        assert_eq!(names(Guest::V6_12).len(), SUITE.len() - 1);
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
