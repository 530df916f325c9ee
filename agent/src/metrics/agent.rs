//! The agent's own metrics: what it lost, what it could not see, what it costs.

use super::{
    Family, Label, families,
    labels::{KIND, label},
};

const PROGRAM: &[Label] = &[label("program", "The kernel program")];

const LIST: &[Label] = &[label("source", "The list of objects of the Kubernetes API")];

/// A table of the agent, and its bound.
#[derive(Debug)]
pub struct Table {
    /// Number of entries in use.
    pub used: Family,
    /// Upper bound for the number of entries.
    pub limit: Family,
}

/// Declares the families of tables.
macro_rules! tables {
    ($($table:ident: $name:literal, $what:literal;)*) => {
        $(
            #[doc = $what]
            pub const $table: Table = Table {
                used: Family::gauge($name, concat!($what, " (current number)")),
                limit: Family::gauge(concat!($name, "_limit"), concat!($what, " (upper limit)")),
            };
        )*

        /// The families of all tables.
        pub const TABLES: &[&Family] = &[$(&$table.used, &$table.limit),*];
    };
}

tables! {
    FLOWS: "narrows_flows", "Entries of the kernel's flow table";
    OVERFLOW: "narrows_overflow_flows", "Entries of the kernel's overflow table, for owners whose flows were rejected";
    POINTS: "narrows_points", "Points with series";
    PAIRS: "narrows_pairs", "Pairs of caller and callee with series of their own";
    WAITING: "narrows_waiting_counts", "Counts that wait for the identity of an end";
    CGROUPS: "narrows_cgroups", "Remembered cgroups";
    FAILURE_RECORDS: "narrows_failure_records", "Failed connections available one by one from /api/v1/failures";
    PODS: "narrows_pods", "Known pods of the cluster";
}

families! {
    BUILD_INFO: gauge("narrows_build_info", "Always 1: the version of the agent and of the kernel it runs on")
        .by(&[&[label("version", "The version of the agent"), label("kernel", "The release of the kernel, as reported by uname")]]);

    PROGRAM_ACTIVE: gauge(
        "narrows_program_active",
        "1 if the kernel program is loaded, and attached whenever it is needed; otherwise /api/v1/status gives the reason"
    )
        .by(&[PROGRAM]);

    SIGNAL_ACTIVE: gauge("narrows_signal_active", "1 if this node supports the signal; otherwise /api/v1/status gives the reason")
        .by(&[&[label("signal", "The signal")]]);

    DETAIL: gauge(
        "narrows_metrics_detail",
        "1 for the detail in which metrics of this kind of point are exported, for each kind on this node"
    )
        .by(&[&[KIND, label("detail", "minimal, points or full, as in metrics.detail of the configuration")]]);

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

    LOST: own_counter("narrows_lost_total", "Items that the agent did not count, or not in full detail")
        .by(&[&[label("what", "What was lost")]]);

    MENDED: counter(
        "narrows_mended_connections_total",
        "Connections counted as ended because no walk over open files found them for as long as an idle flow stays, and only \
         program runs that the kernel skipped explain that they were open"
    );

    FAILURE_EVENTS: counter(
        "narrows_failure_events_total",
        "Failed connections that the kernel reported one by one; narrows_lost_total counts those that it did not"
    );

    ATTRIBUTED: counter("narrows_attributed_connections_total", "Connections opened on this node, by the identity found for each end")
        .by(&[&[
            label("end", "local: the end on this node; remote: the other end"),
            label("result", "workload, point, node, external or unknown")
        ]]);

    LIST_AGE: gauge(
        "narrows_identity_age_seconds",
        "Seconds since the API server last sent anything about the list; normally at most a minute, as the list is watched"
    )
        .by(&[LIST]);

    LIST_SYNCED: gauge("narrows_identity_synced", "1 once the list has been read completely since the start")
        .by(&[LIST]);

    LIST_OBJECTS: gauge("narrows_identity_objects", "Known objects of the list")
        .by(&[LIST]);

    CLUSTER_NODES: gauge(
        "narrows_cluster_nodes",
        "Nodes of the cluster that are to have an agent: all that the API server knows, without those of coverage.except"
    );

    LISTS: counter("narrows_identity_lists_total", "Number of times the list was read from beginning to end")
        .by(&[LIST]);

    LIST_FAILURES: counter("narrows_identity_failures_total", "Failed requests for the list; the log and /api/v1/status say why")
        .by(&[LIST]);

    UNREADABLE: counter("narrows_identity_unreadable_objects_total", "Objects of the list that could not be parsed and were skipped")
        .by(&[LIST]);

    ADDRESSES: gauge("narrows_addresses", "Known addresses of pods, including recently released ones");

    WORKLOADS: gauge("narrows_workloads", "Known workloads of the cluster");

    INVENTORY_VALID: gauge(
        "narrows_inventory_valid",
        "1 while the inventory file is valid; at 0 its last valid version is in use"
    );

    INVENTORY_MISSING: gauge(
        "narrows_inventory_missing",
        "Cgroups and network namespaces that the inventory names but that do not exist"
    );

    TICK: histogram("narrows_tick_seconds", "Duration of a tick of the agent: sampling, reading, attributing, summing up");

    PROCESS_CPU: own_counter("process_cpu_seconds_total", "CPU time used by the agent, in user and kernel mode");

    PROCESS_RESIDENT: gauge("process_resident_memory_bytes", "Resident memory of the agent");

    PROCESS_VIRTUAL: gauge("process_virtual_memory_bytes", "Virtual memory of the agent");

    PROCESS_FDS: gauge("process_open_fds", "Open file descriptors of the agent");

    PROCESS_MAX_FDS: gauge("process_max_fds", "File descriptors that the agent may have open");

    PROCESS_START: gauge("process_start_time_seconds", "When the agent started, in seconds since 1970 (UTC)");
}
