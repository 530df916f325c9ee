//! What was seen at one point in the window: who called through it, what it reached, and the pairs of both where these are known.

use crate::{
    cli::{
        name::{Name, within, workload},
        prometheus::Sample,
        report::{
            evidence::Evidence,
            facts::{self, FACTS, Fact, What},
        },
    },
    metrics::{boundary, dependents},
    points::Kind,
};
use anyhow::{anyhow, bail};
use std::collections::{BTreeMap, BTreeSet};

const CALLERS: &str = dependents::DEPENDENT_CONNECTIONS.name;
const CALLERS_OPEN: &str = dependents::DEPENDENT_OPEN.name;
const REACHED: &str = dependents::SERVED_CONNECTIONS.name;
const REACHED_OPEN: &str = dependents::SERVED_OPEN.name;
const UNNAMED: &str = dependents::UNNAMED_CALLERS.name;
const UNTRACKED: &str = dependents::DEPENDENTS_UNTRACKED.name;

/// The facts of the report that say where the point runs, and which agents see all.
const SHARED: [&str; 8] = [
    facts::UP,
    facts::BUILD_INFO,
    facts::ACTIVE,
    facts::PROGRAM_ACTIVE,
    facts::SIGNAL_ACTIVE,
    facts::LOST,
    facts::LIST_AGE,
    facts::LIST_SYNCED,
];

macro_rules! by_point {
    ($labels:literal) => {
        concat!("cluster, instance, node, point, kind, mesh, instance_pod, ", $labels)
    };
}

const BY_CALLER: &str = by_point!("source_workload_namespace, source_workload, source_principal");
const BY_REACHED: &str = by_point!("destination_workload_namespace, destination_workload, destination_principal");
const BY_PAIR: &str = "cluster, source_workload_namespace, source_workload, destination_workload_namespace, destination_workload, \
                       enforced_by";

/// All facts that a draft needs.
pub fn facts() -> Vec<Fact> {
    let shared = FACTS.iter().filter(|fact| SHARED.contains(&fact.series)).copied();
    let own = [
        (CALLERS, What::Growth, BY_CALLER),
        // A connection that was open all the time is not among those that were opened.
        (CALLERS_OPEN, What::Most, BY_CALLER),
        (REACHED, What::Growth, BY_REACHED),
        (REACHED_OPEN, What::Most, BY_REACHED),
        (UNNAMED, What::Growth, by_point!("caller")),
        (UNTRACKED, What::Most, "cluster, point, kind, mesh"),
        (boundary::ENFORCED.name, What::Growth, BY_PAIR),
    ];
    shared
        .chain(own.map(|(series, what, by)| Fact {
            series,
            what,
            by,
            only: "",
        }))
        .collect()
}

/// A workload and its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caller {
    /// The name of the workload.
    pub name: Name,
    /// Its identity, as its mesh writes it.
    pub principal: String,
}

/// After a workload that has an identity, of its connections that do not show it.
pub const PLAIN: &str = " in plain text";

/// Callers with a known identity, and what is known of the others, each with a number of connections: those opened in the window, or
/// open at one time in it if that is more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Callers {
    /// Callers with an identity.
    pub known: BTreeMap<Caller, f64>,
    /// The others: `unknown`, `_other`, `_former`, `external`, `node`, `points`, a workload that has no identity in its mesh, a point after
    /// its kind, or a workload before [`PLAIN`].
    pub others: BTreeMap<Name, f64>,
}

impl Callers {
    fn add(&mut self, name: Name, principal: &str, connections: f64) {
        match principal {
            // The label of a sum of several has no namespace, and its name in place of an identity.
            _ if !name.contains('/') => *self.others.entry(name).or_default() += connections,
            "" => *self.others.entry(name).or_default() += connections,
            principal => {
                let principal = principal.to_owned();
                *self.known.entry(Caller { name, principal }).or_default() += connections;
            }
        }
    }

    /// The identities, each once.
    pub fn principals(&self) -> BTreeSet<&str> {
        self.known.keys().map(|caller| caller.principal.as_str()).collect()
    }
}

/// What was seen at a point.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The point, with its cluster where there are several.
    pub point: Name,
    /// The kind of the point.
    pub kind: Kind,
    /// The mesh that it belongs to.
    pub mesh: String,
    /// Who called through it.
    pub callers: Callers,
    /// Connections of the nodes themselves, which a policy at this kind of point does not concern: they go to the proxy's own ports.
    pub probes: f64,
    /// Whether the point's own sockets say so; else its callers alone do, on nodes with an agent.
    pub own: bool,
    /// What it reached.
    pub served: BTreeMap<Name, f64>,
    /// For each workload behind a point whose traffic shows both ends, who called it.
    pub pairs: BTreeMap<Name, Callers>,
    /// A lower bound of the number of callers without series of their own.
    pub untracked: u64,
    /// Agents whose data are incomplete, of all agents.
    pub blind: (usize, usize),
}

impl Seen {
    /// Reads the samples about a point.
    ///
    /// # Errors
    /// When the point is not among them, or in several clusters.
    pub fn of(samples: &[Sample], asked: &str, cluster: Option<&str>, source: &str) -> anyhow::Result<Self> {
        let (point, about) = find(samples, asked, cluster, source)?;
        let kind = about.label("kind");
        let kind = Kind::of_label(kind).ok_or_else(|| {
            anyhow!("{source} has the point {point} with the kind {kind:?}, which this version does not know")
        })?;
        let agents = Evidence::of(samples).agents;
        let ours: Vec<&Sample> = samples.iter().filter(|sample| name_of(sample) == point).collect();
        let place =
            |sample: &Sample| ["cluster", "instance", "instance_pod"].map(|label| sample.label(label).to_owned());
        let running = ours.iter().filter(|sample| sample.series == facts::ACTIVE);
        let places: BTreeSet<_> = running.map(|sample| place(sample)).collect();
        let (own, theirs): (Vec<&Sample>, Vec<&Sample>) =
            ours.iter().partition(|sample| places.contains(&place(sample)));
        let (mut callers, own_says) = callers_of(&own, &theirs);
        let mut probes = tell_apart(&mut callers, if own_says { &own } else { &theirs });
        // At a gateway, clients whose addresses a node has translated look alike.
        if matches!(kind, Kind::IngressGateway | Kind::EgressGateway) && probes > 0.0 {
            callers.others.insert("node".to_owned(), std::mem::take(&mut probes));
        }
        let served = most(&own, [REACHED, REACHED_OPEN], |sample| {
            workload(sample, "destination_workload_namespace", "destination_workload")
        });
        let pairs = match kind {
            Kind::Ztunnel => pairs(samples, about.label("cluster"), &served),
            _ => BTreeMap::new(),
        };
        let untracked = ours.iter().filter(|sample| sample.series == UNTRACKED);
        Ok(Self {
            point,
            kind,
            mesh: about.label("mesh").to_owned(),
            callers,
            probes,
            own: own_says,
            served,
            pairs,
            untracked: untracked.map(|sample| sample.value as u64).max().unwrap_or(0),
            blind: (agents.values().filter(|agent| !agent.sees_all()).count(), agents.len()),
        })
    }

    /// The number of workloads that it reached; sums of several, and what is not known, are none.
    pub fn destinations(&self) -> usize {
        self.served.keys().filter(|name| name.contains('/')).count()
    }

    /// Kind and name of the point, for sentences.
    pub fn title(&self) -> String {
        format!("the {} {}", self.kind.label(), self.point)
    }

    /// Namespace and name of the point.
    pub fn names(&self) -> (&str, &str) {
        split(&self.point)
    }
}

/// Namespace and name of a workload or point, without its cluster.
pub fn split(name: &str) -> (&str, &str) {
    let name = name.split_once(':').map_or(name, |(_, name)| name);
    name.split_once('/').unwrap_or(("", name))
}

fn name_of(sample: &Sample) -> Name {
    within(sample, sample.label("point"))
}

/// The full name of the point that was asked for, and a sample about it.
fn find<'a>(
    samples: &'a [Sample],
    asked: &str,
    cluster: Option<&str>,
    source: &str,
) -> anyhow::Result<(Name, &'a Sample)> {
    let with_callers = samples.iter().filter(|sample| sample.series == CALLERS);
    let points: BTreeMap<Name, &Sample> = with_callers.map(|sample| (name_of(sample), sample)).collect();
    let is_meant = |sample: &Sample| {
        sample.label("point") == asked && cluster.is_none_or(|cluster| sample.label("cluster") == cluster)
    };
    let matching: Vec<_> = points.iter().filter(|(_, sample)| is_meant(sample)).collect();
    match matching[..] {
        [(name, sample)] => Ok((name.clone(), sample)),
        [] if points.is_empty() => bail!(
            "{source} knows no connection through any point: check its address, and that the agents export callers by name \
             (metrics.detail: full)"
        ),
        [] => {
            let names: Vec<_> = points.into_keys().take(12).collect();
            bail!(
                "{source} knows no connection through a point {asked}; check --point, and that the agents export callers by name for its \
                 kind (metrics.kinds). Points with connections: {}",
                names.join(", ")
            )
        }
        _ => {
            let clusters = matching.iter().map(|(_, sample)| sample.label("cluster"));
            bail!(
                "the point {asked} is in several clusters: pass one of {} as --cluster",
                clusters.collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// For each key, the sum over the samples of the connections: of each sample's, those opened in the window, or those open at one time
/// in it if that is more. Nothing is said of what had none.
fn most<K: Ord + Clone>(samples: &[&Sample], series: [&str; 2], key: impl Fn(&Sample) -> K) -> BTreeMap<K, f64> {
    let of = |series: &str| {
        let mut all = BTreeMap::<K, f64>::new();
        for sample in samples.iter().filter(|sample| sample.series == series) {
            *all.entry(key(sample)).or_default() += sample.value;
        }
        all
    };
    let [mut all, open] = series.map(of);
    for (key, open) in open {
        let opened = all.entry(key).or_default();
        *opened = opened.max(open);
    }
    all.retain(|_, n| *n > 0.0);
    all
}

/// Callers by the point's own sockets, and whether these say any: else by what its callers say. What callers say of a point on another
/// node is what the agent there says as well, but who is not identified there may be so at the caller: such a caller then counts a second
/// time, beside the unknown, so that the coverage is a lower bound.
fn callers_of(own: &[&Sample], theirs: &[&Sample]) -> (Callers, bool) {
    let [mut callers, theirs] = [own, theirs].map(callers);
    let own_says = callers != Callers::default();
    for (caller, n) in theirs.known {
        callers.known.entry(caller).or_insert(n);
    }
    if !own_says {
        callers.others = theirs.others;
    }
    (callers, own_says)
}

fn callers(samples: &[&Sample]) -> Callers {
    let all = most(samples, [CALLERS, CALLERS_OPEN], |sample| {
        (
            workload(sample, "source_workload_namespace", "source_workload"),
            sample.label("source_principal").to_owned(),
        )
    });
    let mut callers = Callers::default();
    for ((name, principal), n) in all {
        callers.add(name, &principal, n);
    }
    callers
}

/// Tells what is not a workload from what is unknown, and returns the connections of the nodes themselves.
fn tell_apart(callers: &mut Callers, samples: &[&Sample]) -> f64 {
    let of = |caller: &str| {
        let found = samples
            .iter()
            .filter(|sample| sample.series == UNNAMED && sample.label("caller") == caller);
        found.map(|sample| sample.value).sum::<f64>()
    };
    // Prometheus extrapolates each by itself: no more than there was.
    let mut unknown = callers.others.remove("unknown").unwrap_or(0.0);
    let [nodes, points, external] = ["node", "point", "external"].map(|caller| {
        let n = of(caller).clamp(0.0, unknown);
        unknown -= n;
        n
    });
    for (name, n) in [("unknown", unknown), ("points", points), ("external", external)] {
        if n > 0.0 {
            callers.others.insert(name.to_owned(), n);
        }
    }
    nodes
}

/// Who called each of these workloads, by whatever point: a ztunnel delivers from its client's address, so its workloads see both ends,
/// and it also delivers what a waypoint or gateway sends. The identities are those that the workloads have anywhere in the cluster.
fn pairs(samples: &[Sample], cluster: &str, served: &BTreeMap<Name, f64>) -> BTreeMap<Name, Callers> {
    let mut identities = BTreeMap::<Name, BTreeSet<&str>>::new();
    for sample in samples {
        let side = match sample.series.as_str() {
            CALLERS => ["source_workload_namespace", "source_workload", "source_principal"],
            REACHED => [
                "destination_workload_namespace",
                "destination_workload",
                "destination_principal",
            ],
            _ => continue,
        };
        let [namespace, name, principal] = side;
        let (name, principal) = (workload(sample, namespace, name), sample.label(principal));
        if name.contains('/') && !principal.is_empty() {
            identities.entry(name).or_default().insert(principal);
        }
    }
    let mut all = BTreeMap::<Name, Callers>::new();
    let of_pairs = samples.iter().filter(|sample| sample.series == boundary::ENFORCED.name);
    for sample in of_pairs.filter(|sample| sample.label("cluster") == cluster && sample.value > 0.0) {
        let destination = workload(sample, "destination_workload_namespace", "destination_workload");
        if !destination.contains('/') || !served.contains_key(&destination) {
            continue;
        }
        let source = workload(sample, "source_workload_namespace", "source_workload");
        let callers = all.entry(destination).or_default();
        let is_plain = sample.label("enforced_by") == "none";
        match identities.get(&source) {
            // No point carried it, so there was no mTLS: the destination sees no identity, and denies it.
            Some(_) if is_plain => callers.add(format!("{source}{PLAIN}"), "", sample.value),
            // Which of several identities a workload showed is not known: all are allowed, and its connections count once.
            Some(principals) => {
                let each = sample.value / principals.len() as f64;
                for principal in principals {
                    callers.add(source.clone(), principal, each);
                }
            }
            None => match sample.label("enforced_by") {
                "ztunnel" | "none" => callers.add(source, "", sample.value),
                // A point, which delivers through the ztunnel as everybody does.
                kind => callers.add(format!("{kind} {source}"), "", sample.value),
            },
        }
    }
    all
}
