//! Everything about a point.

use super::{
    super::snapshot::Snapshot,
    as_of::as_of,
    endpoints::{Side, endpoints, rest, workload_name},
    point::point,
    points::find,
    problem::Problem,
    saturation::{ELSEWHERE, missing},
};
use crate::{
    api::{
        AcceptQueue, Ages, ByAge, BySide, Carried, CarriedEnd, DependentAges, Drops, Endpoint, Exits, HalfClosed,
        InsideMissing, OpenFiles, PointDetail, Resources, Signal, Sockets, Threads, UnnamedCallers,
    },
    metrics::load::{QUEUE, QUEUE_DROPS, QUEUE_LIMIT, QUEUE_OLDEST},
    model::{Busiest, Path, PathTally, rows::PointRow},
    program::{Hook, Need, Offer, WALK},
    signals::{self, drops, lifetimes::reached, processes, skew, sockets},
};
use agent_common::{AGES, Exit};
use std::cmp::Reverse;

/// What the ages of open connections depend on.
const AGES_NEEDS: &[Need] = &[Need::Program(&WALK)];

/// Everything about the point with this identifier.
///
/// # Errors
/// When there is none.
pub fn of(snapshot: &Snapshot, id: &str) -> Result<PointDetail, Problem> {
    let (row, offer) = (find(snapshot, id)?, snapshot.offer());
    let local = row.load.local;
    Ok(PointDetail {
        as_of: as_of(snapshot),
        point: point(snapshot, &offer, row),
        dependents: side(snapshot, row, Side::Dependents),
        dependents_rest: rest(snapshot, row, Side::Dependents).collect(),
        served: side(snapshot, row, Side::Served),
        served_rest: rest(snapshot, row, Side::Served).collect(),
        paths: carried(row),
        unnamed_callers: unnamed(row),
        concentration_ratio: row.window.concentration,
        traffic_ratio: row.window.traffic,
        accept_queues: (local && offer.has_all(QUEUE_LIMIT.needs)).then(|| accept_queues(row, &offer)),
        threads: local.then(|| threads(snapshot, row)),
        sockets: local.then(|| open_sockets(row, &offer)),
        ages: ages(row, &offer),
        half_closed: half_closed(row),
        drops: (local && offer.has_all(drops::PACKETS.needs)).then(|| drops(row)),
        exits: local.then(|| exits(row, &offer)),
        missing: inside_missing(snapshot, row),
        resources: resources(row),
        signals: signals_of(snapshot),
    })
}

fn side(snapshot: &Snapshot, row: &PointRow, side: Side) -> Vec<Endpoint> {
    let all = endpoints(snapshot, row, side);
    let mut all: Vec<_> = all
        .map(|(workload, traffic)| Endpoint {
            workload: workload_name(workload),
            traffic,
        })
        .collect();
    // Stable: where nothing else decides, by namespace and name.
    all.sort_by_key(|endpoint| {
        let traffic = &endpoint.traffic;
        Reverse((traffic.active, traffic.open_connections, traffic.opened_total))
    });
    all
}

fn carried(row: &PointRow) -> Vec<Carried> {
    let end = |(namespace, name): (&str, &str)| CarriedEnd {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let of = |source, destination, certainty: &str, tally: &PathTally| Carried {
        source,
        destination,
        certainty: certainty.to_owned(),
        connections_total: tally.connections,
        turns_total: tally.turns,
        failures_total: tally.failures.iter().sum(),
    };
    let named = row.paths.rows.iter().map(|path| {
        let Path { pair, certainty } = &path.key;
        let ends = [&pair.source, &pair.destination].map(|at| end(at.labels()));
        let [source, destination] = ends;
        of(source, destination, certainty.label(), &path.tally)
    });
    let rest = row.paths.rest.iter();
    let rest = rest.map(|(name, tally)| of(end((name, name)), end((name, name)), name, tally));
    let mut all: Vec<_> = named.chain(rest).collect();
    all.sort_by_key(|carried| Reverse((carried.turns_total, carried.connections_total, carried.failures_total)));
    all
}

fn unnamed(row: &PointRow) -> Vec<UnnamedCallers> {
    let all = row.unnamed.iter();
    let callers = all.map(|(found, n)| UnnamedCallers {
        caller: found.label().to_owned(),
        accepted_total: *n,
    });
    callers.collect()
}

fn accept_queues(row: &PointRow, offer: &Offer) -> Vec<AcceptQueue> {
    let (is_known, is_oldest_known) = (offer.has_all(QUEUE.needs), offer.has_all(QUEUE_OLDEST.needs));
    let are_drops_known = offer.has_all(QUEUE_DROPS.needs);
    let all = row.load.queues.iter();
    let queues = all.map(|(port, queue)| AcceptQueue {
        port: *port,
        listeners: queue.listeners,
        queued_connections: is_known.then_some(queue.queued),
        limit_connections: queue.limit,
        utilization_ratio: is_known.then_some(queue.utilization),
        oldest_seconds: queue.oldest_us.filter(|_| is_oldest_known).map(|us| us as f64 / 1e6),
        drops_total: are_drops_known.then_some(queue.drops),
    });
    queues.collect()
}

fn threads(snapshot: &Snapshot, row: &PointRow) -> Threads {
    let skew = &row.load.inside.skew;
    Threads {
        busiest_cpu_ratio: skew.cpu.map(|(ratio, _)| ratio),
        busiest_cpu_share_ratio: skew.cpu.and_then(|(_, share)| share),
        busiest_connections_share_ratio: skew.connections.map(|(most, all, _)| most as f64 / all as f64),
        serving_threads: skew.connections.map(|(.., threads)| threads),
        missing: missing(snapshot, skew::SERVING.needs),
    }
}

fn open_sockets(row: &PointRow, offer: &Offer) -> BySide<Sockets> {
    let backlog = &row.load.inside.sockets.backlog;
    let (unread, unacknowledged) = (sockets::UNREAD_NEEDS, sockets::UNACKNOWLEDGED_NEEDS);
    let of = |at: usize| Sockets {
        unread_bytes: offer.has_all(unread).then_some(backlog.unread[at]),
        unacknowledged_bytes: offer.has_all(unacknowledged).then_some(backlog.unacknowledged[at]),
        stalled_unread_connections: offer.has_all(unread).then_some(backlog.stalled_unread[at].into()),
    };
    BySide {
        downstream: of(1),
        upstream: of(0),
    }
}

fn ages(row: &PointRow, offer: &Offer) -> Ages {
    let by_side = row
        .load
        .inside
        .sockets
        .backlog
        .ages
        .map(|ages| by_age(&ages.map(u64::from)));
    let is_known = row.load.local && offer.has_all(AGES_NEEDS);
    let [upstream, downstream] = by_side;
    let Busiest { named, rest } = &row.ages;
    let named = named.iter().map(|(who, ages)| DependentAges {
        workload: Some(workload_name(who)),
        rest: None,
        open: by_age(ages),
    });
    let rest = rest.iter().map(|(name, ages)| DependentAges {
        workload: None,
        rest: Some((*name).to_owned()),
        open: by_age(ages),
    });
    Ages {
        open: is_known.then_some(BySide { downstream, upstream }),
        dependents: named.chain(rest).collect(),
    }
}

fn by_age(ages: &[u64; AGES]) -> Vec<ByAge> {
    let all = reached(ages).into_iter();
    let by = all.map(|(min_age_seconds, connections)| ByAge {
        min_age_seconds,
        connections,
    });
    by.collect()
}

fn half_closed(row: &PointRow) -> Vec<HalfClosed> {
    let all = &row.half_closed;
    let sides = [("downstream", &all.downstream), ("upstream", &all.upstream)];
    let mut found: Vec<_> = sides
        .into_iter()
        .flat_map(|(side, Busiest { named, rest })| {
            let of = move |workload, rest, [by_peer, by_point]: [u64; 2]| HalfClosed {
                side: side.to_owned(),
                workload,
                rest,
                closed_by_peer_connections: by_peer,
                closed_by_point_connections: by_point,
            };
            let named = named.iter().map(move |(who, n)| of(Some(workload_name(who)), None, *n));
            named.chain(rest.iter().map(move |(name, n)| of(None, Some((*name).to_owned()), *n)))
        })
        .filter(|found| found.closed_by_peer_connections + found.closed_by_point_connections > 0)
        .collect();
    found.sort_by_key(|found| Reverse(found.closed_by_peer_connections + found.closed_by_point_connections));
    found
}

fn drops(row: &PointRow) -> Vec<Drops> {
    let all = row.load.inside.drops.all();
    let drops = all.map(|(reason, direction, n)| Drops {
        reason: reason.to_owned(),
        direction: direction.to_owned(),
        packets_total: n,
    });
    drops.collect()
}

fn exits(row: &PointRow, offer: &Offer) -> Vec<Exits> {
    let is_known = offer.has_all(processes::EXITS.needs);
    let all = Exit::ALL.into_iter().zip(row.load.inside.processes.exits);
    let exits = all.map(|(how, n)| Exits {
        how: how.label().to_owned(),
        processes_total: is_known.then_some(n),
    });
    exits.collect()
}

/// Why what is inside a point is not known.
fn inside_missing(snapshot: &Snapshot, row: &PointRow) -> InsideMissing {
    let why = |needs| match row.load.local {
        true => missing(snapshot, needs),
        false => Some(ELSEWHERE.to_owned()),
    };
    InsideMissing {
        accept_queues: why(QUEUE_LIMIT.needs),
        queued_connections: why(QUEUE.needs),
        accept_queue_drops: why(QUEUE_DROPS.needs),
        unread_bytes: why(sockets::UNREAD_NEEDS),
        unacknowledged_bytes: why(sockets::UNACKNOWLEDGED_NEEDS),
        ages: why(AGES_NEEDS),
        drops: why(drops::PACKETS.needs),
        exits: why(processes::EXITS.needs),
    }
}

fn resources(row: &PointRow) -> Resources {
    let (resources, now) = (&row.load.resources, &row.load.resources.now);
    Resources {
        cpu_seconds_total: resources.cpu.map(|time| time.as_secs_f64()),
        cpu_limit_cores: now.cpu_limit,
        cpu_throttled_seconds_total: resources.throttling.map(|it| it.throttled.as_secs_f64()),
        memory_bytes: now.memory,
        memory_limit_bytes: now.memory_limit,
        open_files: now.files.map(|files| OpenFiles {
            open: files.open,
            limit: files.limit,
        }),
        oom_kills_total: resources.oom_kills,
    }
}

/// What this node supports of the signals about points: kernel programs that are attached for points, the walk over open files, and
/// what the node's files tell.
fn signals_of(snapshot: &Snapshot) -> Vec<Signal> {
    let is_about_points = |name: &str| {
        signals::programs().any(|program| {
            let is_about_points = program.concerns_points() || matches!(program.hook, Hook::OnDemand(_));
            program.name == name && (is_about_points || *program == WALK)
        })
    };
    let programs = snapshot
        .kernel
        .programs
        .iter()
        .filter(|status| is_about_points(status.program));
    let programs = programs.map(|status| Signal {
        name: status.program.to_owned(),
        what: status.signal.to_owned(),
        active: status.active,
        reason: status.reason.clone(),
    });
    let others = snapshot.signals.iter().map(|signal| Signal {
        name: signal.name.to_owned(),
        what: signal.what.to_owned(),
        active: signal.active,
        reason: signal.reason.clone(),
    });
    programs.chain(others).collect()
}
