//! The agent's own metrics: what it lost, what it could not see, what it costs.

use super::{Family, Label, families, labels::label};

const PROGRAM: &[Label] = &[label("program", "The kernel program")];

const LIST: &[Label] = &[label("source", "The list of objects of the Kubernetes API")];

/// A table of the agent, and its bound.
#[derive(Debug)]
pub struct Table {
    /// Entries in use.
    pub used: Family,
    /// Entries that there may be.
    pub limit: Family,
}

/// Declares tables.
macro_rules! tables {
    ($($table:ident: $name:literal, $what:literal;)*) => {
        $(
            #[doc = $what]
            pub const $table: Table = Table {
                used: Family::gauge($name, concat!($what, " in use")),
                limit: Family::gauge(concat!($name, "_limit"), concat!($what, " that there may be")),
            };
        )*

        /// All of them.
        pub const TABLES: &[&Family] = &[$(&$table.used, &$table.limit),*];
    };
}

tables! {
    FLOWS: "narrows_flows", "Entries of the kernel's flow table";
    OVERFLOW: "narrows_overflow_flows", "Entries of the kernel's table for owners whose flows found no place";
    POINTS: "narrows_points", "Points with series";
    PAIRS: "narrows_pairs", "Pairs of callers and called with series of their own";
    WAITING: "narrows_waiting_counts", "Places for counts that wait for the identity of an end";
    CGROUPS: "narrows_cgroups", "Places for cgroups that are remembered";
    FAILURE_RECORDS: "narrows_failure_records", "Places for failed connections that can be asked for one by one";
    PODS: "narrows_pods", "Places for pods of the cluster that are known";
}

families! {
    BUILD_INFO: gauge("narrows_build_info", "Always 1: the version of the agent and of the kernel it runs on")
        .by(&[&[label("version", "The version of the agent"), label("kernel", "The release of the kernel, as uname says it")]]);

    PROGRAM_ACTIVE: gauge(
        "narrows_program_active",
        "1 when the kernel program is loaded and attached when it is needed; /api/v1/status says why it is not"
    )
        .by(&[PROGRAM]);

    SIGNAL_ACTIVE: gauge("narrows_signal_active", "1 when this node offers the signal; /api/v1/status says why it does not")
        .by(&[&[label("signal", "The signal")]]);

    PROGRAM_RUNS: own_counter(
        "narrows_program_runs_total",
        "Runs of the kernel program, while the kernel counts them (sysctl kernel.bpf_stats_enabled)"
    )
        .by(&[PROGRAM]);

    PROGRAM_SECONDS: own_counter(
        "narrows_program_seconds_total",
        "CPU time spent in the kernel program, while the kernel measures it (sysctl kernel.bpf_stats_enabled)"
    )
        .by(&[PROGRAM]);

    LOST: own_counter("narrows_lost_total", "Things that the agent did not count, or not in full detail")
        .by(&[&[label("what", "What was lost")]]);

    MENDED: counter(
        "narrows_mended_connections_total",
        "Connections counted as ended because no walk over open files found them for as long as an idle flow stays, and only \
         program runs that the kernel left out explain that they were open"
    );

    FAILURE_EVENTS: counter(
        "narrows_failure_events_total",
        "Failed connections that the kernel reported one by one; narrows_lost_total counts those that it did not"
    );

    ATTRIBUTED: counter("narrows_attributed_connections_total", "Connections opened on this node, by who each end was found to be")
        .by(&[&[
            label("end", "local: the end on this node; remote: the other end"),
            label("result", "workload, point, node, external or unknown")
        ]]);

    LIST_AGE: gauge(
        "narrows_identity_age_seconds",
        "Seconds since the API server last sent anything about the list; as it is watched, about a minute at most"
    )
        .by(&[LIST]);

    LIST_SYNCED: gauge("narrows_identity_synced", "1 when the list has been complete once since the start")
        .by(&[LIST]);

    LIST_OBJECTS: gauge("narrows_identity_objects", "Objects of the list that are known")
        .by(&[LIST]);

    LISTS: counter("narrows_identity_lists_total", "Times the list was read from the beginning to the end")
        .by(&[LIST]);

    LIST_FAILURES: counter("narrows_identity_failures_total", "Requests for the list that failed; the log and /api/v1/status say why")
        .by(&[LIST]);

    UNREADABLE: counter("narrows_identity_unreadable_objects_total", "Objects of the list that could not be read, and were left out")
        .by(&[LIST]);

    ADDRESSES: gauge("narrows_addresses", "Addresses of pods that are known, with those that were given up lately");

    WORKLOADS: gauge("narrows_workloads", "Workloads of the cluster that are known");

    INVENTORY_VALID: gauge(
        "narrows_inventory_valid",
        "1 while the inventory file is valid; at 0 its last valid version is in use"
    );

    INVENTORY_MISSING: gauge(
        "narrows_inventory_missing",
        "Cgroups and network namespaces that the inventory names and that do not exist"
    );

    TICK: histogram("narrows_tick_seconds", "How long a tick of the agent takes: sampling, reading, attributing, adding up");

    PROCESS_CPU: own_counter("process_cpu_seconds_total", "CPU time used by the agent, in user and kernel mode");

    PROCESS_RESIDENT: gauge("process_resident_memory_bytes", "Resident memory of the agent");

    PROCESS_VIRTUAL: gauge("process_virtual_memory_bytes", "Virtual memory of the agent");

    PROCESS_FDS: gauge("process_open_fds", "Open file descriptors of the agent");

    PROCESS_MAX_FDS: gauge("process_max_fds", "File descriptors that the agent may have open");

    PROCESS_START: gauge("process_start_time_seconds", "When the agent started, in seconds since 1970 (UTC)");
}
