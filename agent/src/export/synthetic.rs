//! Nodes made up for tests of what is exported: points with callers, everything about them known.

use super::snapshot::{Identity, Snapshot, Tick};
use crate::{
    api::{ClusterStatus, SourceRow},
    config::Scope,
    identity::{
        Workload,
        kubernetes::{Sizes, Source, SourceStatus},
    },
    kernel::{self, FieldStatus, ProgramStatus},
    metrics::Details,
    model::{
        self, AcceptQueue, Busiest, ByKind, Called, CalledPoint, Pair, PairEnd, Path, PathTally, PointLoad, Row, Share,
        Window,
        rows::{BoundaryRows, EndpointRow, EndpointRows, PathRows, PointRow},
    },
    node::resources::{Bandwidth, Files, Pressure},
    points::{Kind, Mesh, Point},
    signals::{self, Signal, skew::Skew},
};
use agent_common::{Certainty, Field, Loss};
use std::{sync::Arc, time::Instant};

/// A point of the made-up node.
pub struct Shape {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Its mesh.
    pub mesh: Mesh,
    /// Whether it runs here; else it is known by its callers here.
    pub local: bool,
    /// How many workloads depend on it.
    pub dependents: usize,
    /// How many workloads it serves.
    pub served: usize,
    /// How many ports it listens on.
    pub ports: u16,
    /// Whether it is reached at addresses of its own, so that callers see it.
    pub called: bool,
}

/// The `n`th workload.
pub fn workload(n: usize) -> Arc<Workload> {
    let namespace = format!("team-{}", n % 10);
    let name = format!("workload-{n}");
    Arc::new(Workload {
        principal: format!("spiffe://cluster.local/ns/{namespace}/sa/{name}"),
        service_account: name.clone(),
        kind: "Deployment".into(),
        duty: None,
        namespace,
        name,
    })
}

/// The snapshot of a node of a cluster with these points, and so many pairs of callers and targets, `bypasses` of which bypass a
/// point.
pub fn snapshot(shapes: &[Shape], pairs: usize, details: Details) -> Snapshot {
    let called = shapes.iter().filter(|shape| shape.called).map(|shape| {
        let point = CalledPoint::from(&*shape.point());
        let mut called = Called::default();
        called.failures[0] = 1;
        (point, called)
    });
    Snapshot {
        tick: Tick {
            number: 1,
            ..Tick::default()
        },
        points: shapes.iter().map(Shape::row).collect(),
        called: called.collect(),
        boundary: BoundaryRows {
            enforced: (0..pairs).map(pair).collect(),
            ..BoundaryRows::default()
        },
        model: model::Status {
            workloads: pairs,
            attributed: [
                (model::End::Local, model::Found::Workload),
                (model::End::Remote, model::Found::Point),
            ]
            .map(|key| (key, 1))
            .into(),
            ..model::Status::default()
        },
        kernel: kernel(),
        identity: Identity {
            cluster: Some(cluster()),
            ..Identity::default()
        },
        signals: [
            "cpu",
            "memory",
            "cpu_pressure",
            "memory_pressure",
            "open_files",
            "takeover",
        ]
        .map(|name| Signal::new(name, name, Ok(())))
        .into(),
        details,
        ..Snapshot::default()
    }
}

impl Shape {
    fn point(&self) -> Arc<Point> {
        Arc::new(Point {
            name: self.name.clone(),
            kind: self.kind,
            mesh: self.mesh,
            instance: format!("{}-6f7d9c8b5d-x2x7k", self.name.rsplit('/').next().unwrap_or_default()),
        })
    }

    /// The dependents with the most open connections, of which the ages are shown.
    fn ages(&self) -> impl Iterator<Item = usize> {
        let is_shown = self.local && self.kind.is_shared();
        (0..self.dependents.min(10)).filter(move |_| is_shown)
    }

    /// From each dependent to each served workload, one certain connection with data; as many as are in detail by default.
    fn paths(&self) -> PathRows {
        const DETAIL: usize = 200;
        let pairs = (0..self.dependents).flat_map(|from| (0..self.served).map(move |to| (from, to)));
        let path = |(from, to)| Row {
            key: Path {
                pair: Pair {
                    source: PairEnd::Workload(workload(from)),
                    destination: PairEnd::Workload(workload(to)),
                },
                certainty: Certainty::Certain,
            },
            tally: PathTally {
                connections: 1,
                turns: 1,
                ..PathTally::default()
            },
            active: true,
        };
        PathRows {
            rows: pairs.take(DETAIL).map(path).collect(),
            ..PathRows::default()
        }
    }

    fn row(&self) -> PointRow {
        let mut load = PointLoad::new(self.point(), Instant::now());
        load.local = self.local;
        if self.local {
            everything(&mut load, self.ports);
        }
        PointRow {
            paths: self.paths(),
            load,
            window: Window {
                concentration: Some(0.5),
                traffic: self.local.then_some(0.5),
                ..Window::default()
            },
            dependents: endpoints(self.dependents, Some(1.0)),
            served: endpoints(self.served, None),
            // Its health probes.
            unnamed: self.local.then_some((model::Found::Node, 1)).into_iter().collect(),
            half_closed: Default::default(),
            ages: Busiest {
                named: self.ages().map(|n| (workload(n), Default::default())).collect(),
                rest: self.ages().skip(9).map(|_| ("_other", Default::default())).collect(),
            },
            links: Vec::new(),
        }
    }
}

fn endpoints(n: usize, share: Option<f64>) -> EndpointRows {
    let row = |n| EndpointRow {
        row: Row {
            key: workload(n),
            tally: Share::default(),
            active: true,
        },
        share,
    };
    EndpointRows {
        rows: (0..n).map(row).collect(),
        ..EndpointRows::default()
    }
}

/// All that can be known of a point. One reason of failure has occurred on each side.
fn everything(load: &mut PointLoad, ports: u16) {
    for side in [&mut load.downstream, &mut load.upstream] {
        side.failures[0] = 1;
    }
    for port in 0..ports {
        let queue = AcceptQueue {
            listeners: 1,
            ..AcceptQueue::default()
        };
        load.queues.insert(15_000 + port, queue);
    }
    load.inside.sockets.ports = 28_232;
    load.inside.skew = Skew {
        cpu: Some((0.5, Some(0.5))),
        connections: Some((1, 2, 2)),
    };
    let resources = &mut load.resources;
    resources.cpu = Some(Default::default());
    resources.throttling = Some(Bandwidth::default());
    resources.cpu_pressure = Some(Pressure::default());
    resources.memory_pressure = Some(Pressure::default());
    resources.now.cpu_limit = Some(1.0);
    resources.now.cpu_use = Some(0.5);
    resources.now.memory = Some(1);
    resources.now.memory_limit = Some(2);
    resources.now.memory_use = Some(0.5);
    resources.now.files = Some(Files { open: 1, limit: 2 });
}

fn pair(n: usize) -> Row<Pair, ByKind> {
    let mut tally = ByKind::default();
    tally.0[0] = 1;
    Row {
        key: Pair {
            source: PairEnd::Workload(workload(n)),
            destination: PairEnd::Workload(workload(n + 1)),
        },
        tally,
        active: true,
    }
}

/// A kernel that offers everything.
fn kernel() -> kernel::Status {
    let programs = signals::programs().map(|program| ProgramStatus {
        program: program.name,
        hook: String::new(),
        active: true,
        reason: None,
        signal: program.signal,
    });
    let fields = Field::ALL.iter().map(|place| FieldStatus {
        place: *place,
        field: String::new(),
        offset: Some(0),
        required: false,
        off: None,
        reason: None,
    });
    kernel::Status {
        programs: programs.collect(),
        fields: fields.collect(),
        lost: Loss::ALL.into_iter().map(|what| (what, 0)).collect(),
        ..kernel::Status::default()
    }
}

fn cluster() -> ClusterStatus {
    let sources = [
        Source::NodePods,
        Source::ClusterPods,
        Source::Services,
        Source::Namespaces,
        Source::Nodes,
    ];
    ClusterStatus {
        node: "worker-1".to_owned(),
        scope: Scope::Cluster,
        sources: sources
            .map(|source| SourceRow {
                label: source.label(),
                status: SourceStatus::new(source, 0),
                objects: 1,
                age_seconds: 0.0,
            })
            .into(),
        covered_nodes: Some(500),
        sizes: Sizes::default(),
    }
}
