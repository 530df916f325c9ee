//! Workloads on the sides of points.

use super::super::{
    rates::{EndpointRates, PointRates},
    snapshot::Snapshot,
};
use crate::{
    api::{self, PointName, Rest, Traffic, WorkloadName},
    identity::Workload,
    model::{
        Share,
        rows::{EndpointRow, EndpointRows, PointRow},
    },
    points::Point,
};

/// One of the sides of a point that workloads are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Workloads that depend on it.
    Dependents,
    /// Workloads that are reached through it.
    Served,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Dependents, Self::Served];

    /// The workloads on this side.
    pub const fn of(self, row: &PointRow) -> &EndpointRows {
        match self {
            Self::Dependents => &row.dependents,
            Self::Served => &row.served,
        }
    }

    /// The rates of the last tick; `None` for a point that has none yet.
    fn rates<'a>(self, snapshot: &'a Snapshot, row: &PointRow) -> Option<&'a EndpointRates> {
        let rates: &PointRates = snapshot.rates.points.get(&row.load.point)?;
        Some(match self {
            Self::Dependents => &rates.dependents,
            Self::Served => &rates.served,
        })
    }
}

/// The name and identifier of a point's instance.
pub fn point_name(point: &Point) -> PointName {
    PointName {
        id: api::point_id(point),
        name: point.name.clone(),
        kind: point.kind,
        mesh: point.mesh,
        instance: point.instance.clone(),
    }
}

/// The name and identity of a workload.
pub fn workload_name(workload: &Workload) -> WorkloadName {
    WorkloadName {
        id: api::workload_id(workload),
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
        kind: workload.kind.to_string(),
        service_account: workload.service_account.clone(),
        principal: workload.principal.clone(),
    }
}

/// The text of a workload in which `search` looks.
pub fn searched(namespace: &str, name: &str, principal: &str) -> String {
    format!("{namespace}/{name} {principal}")
}

/// The workloads on one side of a point, with their traffic.
pub fn endpoints<'a>(
    snapshot: &'a Snapshot,
    row: &'a PointRow,
    side: Side,
) -> impl Iterator<Item = (&'a Workload, Traffic)> {
    let rates = side.rates(snapshot, row);
    let all = side.of(row);
    let sum = opened(all);
    all.rows.iter().enumerate().map(move |(at, endpoint)| {
        let EndpointRow { row, share } = endpoint;
        let traffic = Traffic {
            active: row.active,
            opened_per_second: rates.and_then(|rates| *rates.rows.get(at)?),
            share_ratio: *share,
            ..traffic(&row.tally, sum)
        };
        (&*row.key, traffic)
    })
}

/// The sums of the workloads on one side of a point that are not in detail.
pub fn rest(snapshot: &Snapshot, row: &PointRow, side: Side) -> impl Iterator<Item = Rest> {
    let rates = side.rates(snapshot, row);
    let all = side.of(row);
    let sum = opened(all);
    all.rest.iter().enumerate().map(move |(at, (name, share))| {
        let opened_per_second = rates.and_then(|rates| *rates.rest.get(at)?);
        Rest {
            name: (*name).to_owned(),
            traffic: Traffic {
                active: share.active > 0 || opened_per_second > Some(0.0),
                opened_per_second,
                ..traffic(share, sum)
            },
        }
    })
}

/// Connections on one side of a point.
fn opened(all: &EndpointRows) -> u64 {
    let detail = all.rows.iter().map(|endpoint| endpoint.row.tally.connections);
    detail.chain(all.rest.iter().map(|(_, share)| share.connections)).sum()
}

fn traffic(share: &Share, sum: u64) -> Traffic {
    Traffic {
        active: false,
        open_connections: share.active,
        opened_total: share.connections,
        opened_per_second: None,
        bytes_total: share.bytes,
        failures_total: share.failures.iter().sum(),
        share_ratio: None,
        part_ratio: (sum > 0).then(|| share.connections as f64 / sum as f64),
    }
}
