//! The facts that a report needs: series, and which value of each in the window.

use crate::{
    duration,
    metrics::{agent, boundary, control_plane, dependents, drains, failures, load, resources},
    signals::{lifetimes, processes, sockets},
};
use std::time::Duration;

/// Of gauges, so many samples of the window are looked at: one an hour of a week.
const GAUGE_PARTS: u32 = 168;

/// Of counters, which go down at a restart only.
const COUNTER_PARTS: u32 = 24;

/// Samples closer than this are hardly ever there.
const LEAST_STEP: Duration = Duration::from_secs(15);

/// Which value of a series in the window is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The last value in the window.
    Last,
    /// The last value, the least of merged series.
    Least,
    /// The maximum in the window.
    Most,
    /// The increase of a counter.
    Growth,
    /// The value now, if there is one.
    Now,
    /// The maximum of all samples in the window, for series that are short and few.
    Ever,
}

/// A series, and which of its values is used.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// The name of the series.
    pub series: &'static str,
    /// The value that is used.
    pub what: What,
    /// The labels that matter; Prometheus merges series that differ in others.
    pub by: &'static str,
    /// The only series that matter, as label matchers; empty for all.
    pub only: &'static str,
}

/// A series of every scrape target: whether it can be scraped. Those of agents are told by the name of their job.
pub const UP: &str = "up";

/// Declares the facts, each by its metric family, with a constant for its name that can be used in patterns.
macro_rules! facts {
    ($($name:ident: $family:path, $what:ident, $by:expr $(, only $only:literal)?;)*) => {
        $(
            #[doc = concat!("The name of [`", stringify!($family), "`].")]
            pub const $name: &str = $family.name;
        )*

        /// All facts that a report needs.
        pub const FACTS: &[Fact] = &[
            Fact { series: UP, what: What::Last, by: "cluster, instance, node", only: "job=~\"narrows|.*/narrows\"" },
            $(Fact { series: $name, what: What::$what, by: $by, only: concat!("" $(, $only)?) },)*
        ];
    };
}

facts! {
    BUILD_INFO: agent::BUILD_INFO, Last, "cluster, instance, node";
    NODES: agent::CLUSTER_NODES, Last, "cluster";
    ACTIVE: load::ACTIVE, Most, "cluster, instance, node, point, kind, mesh, side, instance_pod";
    PROCESSES: load::PROCESSES, Last, "cluster, instance, node, point, kind, mesh, instance_pod";
    OPENED: load::OPENED, Growth, "cluster, instance, node, point, kind, mesh, side";
    FAILURES: failures::FAILURES, Growth, "cluster, instance, node, point, kind, mesh, phase";
    CALLER_OPENED: failures::CALLER_OPENED, Growth, "cluster, point, kind, mesh";
    CALLER_FAILURES: failures::CALLER_FAILURES, Growth, "cluster, point, kind, mesh, phase";
    SATURATION: resources::SATURATION, Most, "cluster, instance, node, point, kind, mesh, resource";
    DEPENDENT_ACTIVE: dependents::DEPENDENT_ACTIVE, Most, "cluster, instance, node, point, kind, mesh, source_workload_namespace, source_workload, source_principal";
    DEPENDENT_SHARE: dependents::DEPENDENT_SHARE, Least, "cluster, instance, node, point, kind, mesh, source_workload_namespace, source_workload";
    DEPENDENT_CONNECTIONS: dependents::DEPENDENT_CONNECTIONS, Growth, "cluster, instance, node, point, kind, mesh, source_workload_namespace, source_workload";
    DEPENDENT_OPEN: dependents::DEPENDENT_OPEN, Most, "cluster, instance, node, point, kind, mesh, source_workload_namespace, source_workload";
    DEPENDENTS_UNTRACKED: dependents::DEPENDENTS_UNTRACKED, Most, "cluster, instance, node, point, kind, mesh";
    SERVED_ACTIVE: dependents::SERVED_ACTIVE, Most, "cluster, instance, node, point, kind, mesh, destination_workload_namespace, destination_workload";
    SERVED_CONNECTIONS: dependents::SERVED_CONNECTIONS, Growth, "cluster, instance, node, point, kind, mesh, destination_workload_namespace, destination_workload";
    SERVED_OPEN: dependents::SERVED_OPEN, Most, "cluster, instance, node, point, kind, mesh, destination_workload_namespace, destination_workload";
    OPEN_BY_AGE: lifetimes::OPEN_BY_AGE, Now, "cluster, instance, node, point, kind, mesh, side, instance_pod, min_age_seconds", only "side=\"downstream\",min_age_seconds=\"30\"";
    DEPENDENT_HALF_CLOSED: dependents::DEPENDENT_HALF_CLOSED, Most, "cluster, point, source_workload_namespace, source_workload, first_fin";
    SERVED_HALF_CLOSED: dependents::SERVED_HALF_CLOSED, Most, "cluster, point, destination_workload_namespace, destination_workload, first_fin";
    SOCKETS: sockets::SOCKETS, Most, "cluster, instance, node, point, instance_pod, side, state", only "state=\"close\"";
    CONTROL_PLANE: control_plane::CONNECTIONS, Now, "cluster, instance, node, point, mesh, instance_pod, destination_workload_namespace, destination_workload";
    DRAIN_START: drains::START, Now, "cluster, instance, node, point, instance_pod, cause", only "cause=\"terminating\"";
    EXITS: processes::EXITS, Growth, "cluster, instance, node, point, kind, mesh, reason";
    MODE: boundary::MODE, Last, "cluster, workload_namespace, workload, mode";
    ENFORCED: boundary::ENFORCED, Growth, "cluster, destination_workload_namespace, destination_workload, enforced_by";
    BYPASSED: boundary::BYPASSED, Growth, "cluster, point, kind, source_workload_namespace, source_workload, destination_workload_namespace, destination_workload";
    HBONE_BLOCKED: boundary::HBONE_BLOCKED, Growth, "cluster, source_workload_namespace, source_workload, destination_workload_namespace, destination_workload";
    ATTRIBUTED: agent::ATTRIBUTED, Growth, "cluster, result";
    PROGRAM_ACTIVE: agent::PROGRAM_ACTIVE, Least, "cluster, instance, node, program";
    SIGNAL_ACTIVE: agent::SIGNAL_ACTIVE, Least, "cluster, instance, node, signal";
    LOST: agent::LOST, Growth, "cluster, instance, node, what";
    LIST_AGE: agent::LIST_AGE, Last, "cluster, instance, node, source";
    LIST_SYNCED: agent::LIST_SYNCED, Least, "cluster, instance, node, source";
}

/// Recorded for every point: that the recording rules are loaded.
pub const RULES: &str = "narrows_point:saturation:avg10m";
/// What happened to the traffic of a point that was away.
pub const AWAY: &str = "narrows_point:away:verdict";
/// For how long an instance had no connection to a control plane, in seconds.
pub const WITHOUT_CONTROL_PLANE: &str = "narrows_point_instance:without_control_plane:seconds";
/// Hours until a resource is full.
pub const HOURS: &str = "narrows_point:hours_to_full:trend";
/// The same at a greater growth.
pub const EARLIEST: &str = "narrows_point:hours_to_full:earliest";
/// The same at a smaller growth.
pub const LATEST: &str = "narrows_point:hours_to_full:latest";
/// The dependent whose growth drives it.
pub const DRIVER: &str = "narrows_point:hours_to_full:driver";

/// What the recording rules of `deploy/prometheus` make, and an agent alone does not have.
pub const RECORDED: &[Fact] = &[
    Fact {
        series: RULES,
        what: What::Now,
        by: "cluster",
        only: "",
    },
    Fact {
        series: AWAY,
        what: What::Ever,
        by: "cluster, point, verdict",
        only: "",
    },
    Fact {
        series: WITHOUT_CONTROL_PLANE,
        what: What::Ever,
        by: "cluster, instance, node, point, mesh, instance_pod",
        only: "",
    },
    trend(HOURS),
    trend(EARLIEST),
    trend(LATEST),
    Fact {
        series: DRIVER,
        what: What::Now,
        by: "cluster, instance, node, point, resource, source_workload_namespace, source_workload",
        only: "",
    },
];

/// Of each resource of a point, now.
const fn trend(series: &'static str) -> Fact {
    Fact {
        series,
        what: What::Now,
        by: "cluster, instance, node, point, resource",
        only: "",
    }
}

impl Fact {
    /// The query for a window. Prometheus looks at samples that are a part of the window apart, and merges series, so that it reads and
    /// sends no more than it has to: a week of all samples of a large cluster is beyond its limits.
    pub fn query(&self, window: Duration) -> String {
        let series = match self.only {
            "" => self.series.to_owned(),
            only => format!("{}{{{only}}}", self.series),
        };
        let by = self.by;
        let span = |parts: u32| {
            let step = (window / parts).max(LEAST_STEP).min(window);
            let whole_seconds = Duration::from_secs(step.as_secs());
            format!("[{}:{}]", duration::format(window), duration::format(whole_seconds))
        };
        // The steps of a subquery are at multiples of its step: what began after the last one is only in the series itself.
        match self.what {
            What::Last => format!(
                "max by ({by}) ({series} or last_over_time({series}{}))",
                span(GAUGE_PARTS)
            ),
            What::Least => format!(
                "min by ({by}) ({series} or last_over_time({series}{}))",
                span(GAUGE_PARTS)
            ),
            What::Most => format!(
                "max by ({by}) (max_over_time({series}{}) or {series})",
                span(GAUGE_PARTS)
            ),
            What::Now => format!("max by ({by}) ({series})"),
            What::Ever => format!("max by ({by}) (max_over_time({series}[{}]))", duration::format(window)),
            // A counter that did not exist at the start of the window has grown from 0, also before its first scrape.
            What::Growth => {
                let (span, window) = (span(COUNTER_PARTS), duration::format(window));
                format!(
                    "sum by ({by}) ((increase({series}{span}) and {series} offset {window}) or {series} or last_over_time({series}{span}))"
                )
            }
        }
    }
}
