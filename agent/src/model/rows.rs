//! What is shown of a model: plain values, as of one moment.

use super::{
    Attempts, Busiest, ByKind, ByWorkload, Bypass, Connections, Endpoints, Excluded, Found, HalfClosed, Link, Mode,
    Model, Pair, Path, PathTally, Paths, PointLoad, Row, Share, Window,
};
use crate::{identity::Workload, table::Table};
use agent_common::AGES;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// A point and its dependents.
#[derive(Clone, Debug)]
pub struct PointRow {
    /// What its own sockets show.
    pub load: PointLoad,
    /// Its reach in the window.
    pub window: Window,
    /// The workloads that depend on it.
    pub dependents: EndpointRows,
    /// The workloads reached through it.
    pub served: EndpointRows,
    /// From which caller to which destination it carries traffic.
    pub paths: PathRows,
    /// Connections that it accepted from callers that are no workload, by what these are.
    pub unnamed: BTreeMap<Found, u64>,
    /// The ages of open connections of the dependents with the most of them.
    pub ages: Busiest<AGES>,
    /// Connections that one end has closed.
    pub half_closed: HalfClosedRows,
    /// Its links to its control planes.
    pub links: Vec<Link>,
}

/// The paths through a point.
#[derive(Clone, Debug, Default)]
pub struct PathRows {
    /// The paths tracked in detail.
    pub rows: Vec<Row<Path, PathTally>>,
    /// The sums of the others, by the value of their labels.
    pub rest: Vec<(&'static str, PathTally)>,
}

impl PathRows {
    fn of(all: &Paths, window: Duration, now: Instant) -> Self {
        let rest = all
            .rest()
            .into_iter()
            .filter(|(_, tally)| **tally != PathTally::default());
        Self {
            rows: all.rows(window, now),
            rest: rest.map(|(name, tally)| (name, tally.clone())).collect(),
        }
    }
}

/// Connections that one end has closed: first the peer, first the point.
#[derive(Clone, Debug, Default)]
pub struct HalfClosedRows {
    /// Those that the point had accepted.
    pub downstream: Busiest<2>,
    /// Those that it had opened.
    pub upstream: Busiest<2>,
}

impl HalfClosedRows {
    fn of(all: &HalfClosed) -> Self {
        Self {
            downstream: all.downstream.busiest(),
            upstream: all.upstream.busiest(),
        }
    }
}

/// The workloads on one side of a point.
#[derive(Clone, Debug, Default)]
pub struct EndpointRows {
    /// The workloads tracked in detail.
    pub rows: Vec<EndpointRow>,
    /// The sums of the others, by the value of their label.
    pub rest: Vec<(&'static str, Share)>,
    /// The number of workloads not in detail that have traffic in the window.
    pub untracked: usize,
}

/// A workload on one side of a point.
#[derive(Clone, Debug)]
pub struct EndpointRow {
    /// The workload and its counters.
    pub row: Row<Arc<Workload>, Share>,
    /// For a dependent, the share of its connections that pass the point; `None` where it is not known.
    pub share: Option<f64>,
}

/// Where policy is enforced.
#[derive(Clone, Debug, Default)]
pub struct BoundaryRows {
    /// Connections that workloads of this node accepted.
    pub enforced: Vec<Row<Pair, ByKind>>,
    /// The sums of the pairs that are not in detail.
    pub enforced_rest: Vec<(&'static str, ByKind)>,
    /// Connections that bypassed an expected point.
    pub bypassed: Vec<Row<Bypass, Connections>>,
    /// The sums of the pairs that are not in detail.
    pub bypassed_rest: Vec<(&'static str, Connections)>,
    /// Attempts at the port of HBONE that got no answer.
    pub hbone: Vec<Row<Pair, Attempts>>,
    /// The sums of the pairs that are not in detail.
    pub hbone_rest: Vec<(&'static str, Attempts)>,
    /// Connections that bypassed an expected point and are excluded from the bypasses.
    pub excluded: Excluded,
    /// The number of pairs of each kind in detail, and its limit.
    pub pairs: Table,
    /// How each workload of this node takes part in its mesh, by namespace and name.
    pub modes: BTreeMap<(String, String), Mode>,
}

/// All points, as of `now`.
pub fn points(model: &Model, now: Instant) -> Vec<PointRow> {
    let windows = model.windows(now);
    let row = |load: &PointLoad| {
        let reach = model.reach_of(&load.point);
        let share = |who: &Arc<Workload>| model.share(who, &load.point, now);
        let rows =
            |all: &Endpoints, share: &dyn Fn(&Arc<Workload>) -> Option<f64>| endpoints(all, model.window(), now, share);
        PointRow {
            half_closed: (model.half_closed_of(&load.point))
                .map(HalfClosedRows::of)
                .unwrap_or_default(),
            ages: model.ages_of(&load.point).map(ByWorkload::busiest).unwrap_or_default(),
            load: load.clone(),
            window: windows.get(&load.point).cloned().unwrap_or_default(),
            dependents: reach.map(|reach| rows(&reach.dependents, &share)).unwrap_or_default(),
            served: reach.map(|reach| rows(&reach.served, &|_| None)).unwrap_or_default(),
            paths: reach
                .map(|reach| PathRows::of(&reach.paths, model.window(), now))
                .unwrap_or_default(),
            links: model.links_of(&load.point).to_vec(),
            unnamed: reach.map(|reach| reach.unnamed.clone()).unwrap_or_default(),
        }
    };
    model.points().map(row).collect()
}

fn endpoints(
    all: &Endpoints,
    window: Duration,
    now: Instant,
    share: &dyn Fn(&Arc<Workload>) -> Option<f64>,
) -> EndpointRows {
    let rows = all.rows(window, now).into_iter();
    let rest = all.rest().into_iter();
    EndpointRows {
        rows: rows
            .map(|row| EndpointRow {
                share: share(&row.key),
                row,
            })
            .collect(),
        rest: rest
            .filter(|(_, share)| **share != Share::default())
            .map(|(name, share)| (name, share.clone()))
            .collect(),
        untracked: all.untracked(),
    }
}

/// Where policy is enforced, as of `now`.
pub fn boundary(model: &Model, now: Instant) -> BoundaryRows {
    let (boundary, window) = (model.boundary(), model.window());
    let (used, limit) = boundary.enforced.size();
    BoundaryRows {
        enforced: boundary.enforced.rows(window, now),
        enforced_rest: boundary.enforced.rest().map(|(name, by)| (name, *by)).into(),
        bypassed: boundary.bypassed.rows(window, now),
        bypassed_rest: boundary.bypassed.rest().map(|(name, n)| (name, *n)).into(),
        hbone: boundary.hbone.attempts.rows(window, now),
        hbone_rest: boundary.hbone.attempts.rest().map(|(name, n)| (name, *n)).into(),
        excluded: boundary.excluded(),
        pairs: Table {
            used,
            limit,
            rejected: model.rejected_endpoints().1,
        },
        modes: boundary.modes(),
    }
}
