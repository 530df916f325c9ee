//! Instances of points that are to go: their metrics, and what the API tells of them.

use super::{dependency::by_workload, rows::labels_of, snapshot::Snapshot};
use crate::{
    clock,
    draining::{Dependent, Draining, Drains},
    metrics::{
        Encoder, Labels,
        drains::{CONNECTIONS, CUT, DEADLINE, DEPENDENT_CONNECTIONS, START},
        labels::SOURCE,
        with,
    },
    model::{Busiest, Drain},
    signals::lifetimes::reached,
};
use std::fmt;

/// Encodes the families of [`crate::metrics::drains`].
pub fn encode(snapshot: &Snapshot, encoder: &mut Encoder<'_>) -> fmt::Result {
    let all = || snapshot.drains.iter().map(|drain| (labels(drain), drain));
    let seconds = |millis: i64| millis as f64 / 1e3;
    encoder.write(&CONNECTIONS, all().map(|(labels, drain)| (labels, drain.connections())))?;
    encoder.write(&START, all().map(|(labels, drain)| (labels, seconds(drain.since))))?;
    let deadlines = all().filter_map(|(labels, drain)| Some((labels, seconds(drain.deadline?))));
    encoder.write(&DEADLINE, deadlines)?;
    encoder.write(&CUT, all().filter_map(|(labels, drain)| Some((labels, drain.cut?))))?;
    let shown: Vec<_> = snapshot
        .drains
        .iter()
        .map(|drain| (drain, drain.open.busiest()))
        .collect();
    let rows = shown
        .iter()
        .flat_map(|(drain, busiest)| by_workload(labels(drain), SOURCE, busiest));
    let rows = rows.map(|(labels, ages)| (labels, ages.iter().sum::<u64>()));
    encoder.write(&DEPENDENT_CONNECTIONS, rows)
}

fn labels(drain: &Drain) -> Labels<'_> {
    with(labels_of(&drain.point), [("cause", drain.cause.label())])
}

/// The answer of `/api/v1/drains`.
pub fn of(snapshot: &Snapshot) -> Drains {
    let now = clock::now();
    let drains = snapshot.drains.iter().map(|drain| {
        let Busiest { named, rest } = drain.open.busiest();
        let named = named.into_iter().map(|(who, ages)| Dependent {
            namespace: who.namespace.clone(),
            name: who.name.clone(),
            principal: who.principal.clone(),
            connections: ages.iter().sum(),
            min_age_seconds: reached(&ages),
        });
        let rest = rest.into_iter().map(|(name, ages)| Dependent {
            namespace: String::new(),
            name: name.to_owned(),
            principal: String::new(),
            connections: ages.iter().sum(),
            min_age_seconds: reached(&ages),
        });
        Draining {
            node: None,
            point: drain.point.name.clone(),
            kind: drain.point.kind,
            mesh: drain.point.mesh,
            instance: drain.point.instance.clone(),
            cause: drain.cause,
            since: clock::rfc3339(drain.since),
            deadline: drain.deadline.map(clock::rfc3339),
            seconds_left: drain.deadline.map(|deadline| (deadline - now) as f64 / 1e3),
            first: drain.first,
            connections: drain.connections(),
            cut: drain.cut,
            min_age_seconds: reached(&drain.open.sum()),
            dependents: named.chain(rest).collect(),
        }
    });
    Drains {
        tick: snapshot.tick.number,
        drains: drains.collect(),
        nodes: None,
    }
}
