//! CPU time, memory and open files of points, and how full each resource is. A series whose value this node does not provide is
//! absent.

use super::{
    Detail, families,
    labels::{POINT, label},
};

families! {
    CPU: counter("narrows_cpu_seconds_total", "CPU time used by the point, in user and kernel mode")
        .by(&[POINT]);

    CPU_THROTTLED: counter(
        "narrows_cpu_throttled_seconds_total",
        "CPU time for which the point was throttled by its CFS quota, summed over CPUs"
    )
        .by(&[POINT]);

    CPU_PERIODS: counter("narrows_cpu_periods_total", "Periods of the point's CFS quota in which it wanted to run")
        .by(&[POINT])
        .at(Detail::Points);

    CPU_THROTTLED_PERIODS: counter("narrows_cpu_throttled_periods_total", "Periods of the point's CFS quota in which it was throttled")
        .by(&[POINT])
        .at(Detail::Points);

    CPU_LIMIT: gauge("narrows_cpu_limit_cores", "CPUs that the point may use; absent when it may use all")
        .by(&[POINT])
        .at(Detail::Points);

    PRESSURE: counter(
        "narrows_pressure_seconds_total",
        "Time in which threads of the point that wanted to run waited for the resource (pressure stall information)"
    )
        .by(&[POINT, &[label("resource", "cpu or memory"), label("scope", "some: at least one thread waited; full: all did")]])
        .at(Detail::Points);

    MEMORY: gauge(
        "narrows_memory_bytes",
        "Memory that the point uses, without file pages that the kernel can take back at once (working set)"
    )
        .by(&[POINT]);

    MEMORY_LIMIT: gauge(
        "narrows_memory_limit_bytes",
        "Memory that the point may use; absent when it may use all of the machine's"
    )
        .by(&[POINT])
        .at(Detail::Points);

    OPEN_FILES: gauge("narrows_open_files", "Open file descriptors of the point's process that is closest to its limit")
        .by(&[POINT])
        .at(Detail::Points);

    OPEN_FILES_LIMIT: gauge(
        "narrows_open_files_limit",
        "File descriptors that the point's process that is closest to its limit may have open"
    )
        .by(&[POINT])
        .at(Detail::Points);

    SATURATION: gauge("narrows_saturation_ratio", "How full a resource of the point is, from 0 (idle) to 1 (full)")
        .by(&[POINT, &[label("resource", "cpu, memory, accept_queue, open_files, backlog or ephemeral_ports")]]);
}
