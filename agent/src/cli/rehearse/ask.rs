//! The queries of a rehearsal, and what is made of the answers.

use super::{
    estimate::{Ages, Lifetimes},
    gaps::Instances,
};
use crate::{
    cli::{
        http::Client,
        name::{Name, in_cluster, node},
        prometheus::{self, Sample, Scope},
    },
    clock, duration,
    metrics::{Family, dependents::DEPENDENT_OPEN_BY_AGE},
    signals::lifetimes::{DURATION, MIN_AGES, OPEN_BY_AGE},
};
use anyhow::bail;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is known at present.
#[derive(Debug, Default)]
pub struct Present {
    /// The kind of the point.
    pub kind: String,
    /// The open connections of its instances, by node and pod.
    pub instances: BTreeMap<String, Ages>,
    /// The clusters in which it is.
    pub clusters: BTreeSet<String>,
    /// The open connections of all of them.
    pub ages: Ages,
    /// Those of its dependents.
    pub dependents: BTreeMap<String, Ages>,
}

/// What is known of the window.
#[derive(Debug, Default)]
pub struct Past {
    /// What was observed at times that are `step` seconds apart.
    pub course: Vec<Observed>,
    /// The time between them, in seconds.
    pub step: f64,
    /// The most that an instance had at any of these times, at each age.
    pub most_of_one: Ages,
    /// Means of the dependents.
    pub dependents: BTreeMap<String, Ages>,
    /// Lifetimes of the connections that have ended.
    pub lifetimes: Lifetimes,
}

/// The open connections at one time.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// The time, in seconds since 1970.
    pub time: f64,
    /// Those of all instances that were observed.
    pub ages: Ages,
    /// Whether these were all of those that were there.
    pub is_whole: bool,
}

/// The number of times in the window at which Prometheus looks at the samples: every ten minutes of a week.
const STEPS: u32 = 1_008;

/// Queries have steps of whole seconds.
const LEAST_STEP: Duration = Duration::from_secs(1);

const DOWNSTREAM: &str = ",side=\"downstream\"";

/// What is known at present: from an agent, or from a Prometheus.
///
/// # Errors
/// When there is no answer, or the point is not there, or in several clusters.
pub async fn present(client: &Client, scope: &Scope, is_prometheus: bool) -> anyhow::Result<Present> {
    let samples = match is_prometheus {
        false => prometheus::scrape(client).await?,
        true => {
            let mut all = Vec::new();
            for (family, more) in [(&OPEN_BY_AGE, DOWNSTREAM), (&DEPENDENT_OPEN_BY_AGE, "")] {
                all.extend(prometheus::query(client, family.name, &scope.series(family.name, more)).await?);
            }
            all
        }
    };
    let mut present = Present::default();
    let of = |family: &'static Family| {
        let samples = samples.iter().filter(move |sample| sample.series == family.name);
        samples.filter(|sample| scope.has(sample))
    };
    for sample in of(&OPEN_BY_AGE).filter(|sample| sample.label("side") == "downstream") {
        sample.label("kind").clone_into(&mut present.kind);
        add(present.instances.entry(instance(sample)).or_default(), sample);
        present.clusters.insert(sample.label("cluster").to_owned());
        add(&mut present.ages, sample);
    }
    for sample in of(&DEPENDENT_OPEN_BY_AGE) {
        add(present.dependents.entry(dependent(sample)).or_default(), sample);
    }
    if present.instances.is_empty() {
        let known: BTreeSet<String> = match is_prometheus {
            false => samples
                .iter()
                .filter(|sample| sample.series == OPEN_BY_AGE.name)
                .map(|sample| sample.label("point").to_owned())
                .collect(),
            true => points(client).await?,
        };
        bail!("{}", unknown(client, scope, &known));
    }
    if present.clusters.len() > 1 {
        let clusters: Vec<_> = present.clusters.iter().map(String::as_str).collect();
        bail!(
            "{client} knows a point {} in each of the clusters {}: choose one with --cluster",
            scope.point,
            clusters.join(", ")
        );
    }
    Ok(present)
}

async fn points(client: &Client) -> anyhow::Result<BTreeSet<String>> {
    let query = format!("count by (point) ({})", OPEN_BY_AGE.name);
    let found = prometheus::query(client, OPEN_BY_AGE.name, &query).await?;
    Ok(found.iter().map(|sample| sample.label("point").to_owned()).collect())
}

fn unknown(client: &Client, scope: &Scope, known: &BTreeSet<String>) -> String {
    let place = match (&scope.node, &scope.cluster) {
        (Some(node), _) => format!(" on node {node}"),
        (None, Some(cluster)) => format!(" in cluster {cluster}"),
        (None, None) => String::new(),
    };
    if known.contains(&scope.point) {
        return format!(
            "{client} has no series of {}{place} now: it does not run there",
            scope.point
        );
    }
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    match known.is_empty() {
        true => format!(
            "{client} has no series {}: no point runs where there is an agent, or the agents are older than this program, or \
             export less (metrics.detail)",
            OPEN_BY_AGE.name
        ),
        false => format!(
            "{client} knows no point {}{place}; it knows {}",
            scope.point,
            known.join(", ")
        ),
    }
}

/// What is known of the window.
///
/// # Errors
/// When there is no answer, or Prometheus rejects a query.
pub async fn past(client: &Client, scope: &Scope, window: Duration) -> anyhow::Result<Past> {
    let step = Duration::from_secs((window / STEPS).max(LEAST_STEP).as_secs());
    let span = format!("[{}:{}]", duration::format(window), duration::format(step));
    let to = clock::now() as f64 / 1e3;
    let times = ((to - window.as_secs_f64()).floor(), to.floor());
    let open = scope.series(OPEN_BY_AGE.name, DOWNSTREAM);
    let query = format!("sum by (min_age_seconds) ({open})");
    let mut course: BTreeMap<u64, Ages> = BTreeMap::new();
    for series in prometheus::range(client, &query, times, step).await? {
        let place = series.labels.get("min_age_seconds").and_then(|age| place(age));
        for (time, n) in series.values {
            if let Some(place) = place {
                course.entry(time as u64).or_default().0[place] = n;
            }
        }
    }
    let instances = instances(client, scope, times, step).await?;
    let incomplete = instances.incomplete(course.keys().copied());
    let observed = course.len() as f64;
    let query = format!("max by (min_age_seconds) (max_over_time({open}{span}))");
    let mut most_of_one = Ages::default();
    for sample in prometheus::query(client, OPEN_BY_AGE.name, &query).await? {
        add(&mut most_of_one, &sample);
    }
    let query = format!(
        "sum by (source_workload_namespace, source_workload, min_age_seconds) (sum_over_time({}{span}))",
        scope.series(DEPENDENT_OPEN_BY_AGE.name, "")
    );
    let mut dependents: BTreeMap<String, Ages> = BTreeMap::new();
    for mut sample in prometheus::query(client, DEPENDENT_OPEN_BY_AGE.name, &query).await? {
        // The mean over the times at which the point was there: a dependent may have been there at fewer.
        sample.value /= observed.max(1.0);
        add(dependents.entry(dependent(&sample)).or_default(), &sample);
    }
    let step = step.as_secs_f64();
    Ok(Past {
        course: (course.into_iter())
            .map(|(time, ages)| Observed {
                time: time as f64,
                ages,
                is_whole: !incomplete.contains(&time),
            })
            .collect(),
        step,
        most_of_one,
        dependents,
        lifetimes: lifetimes(client, scope, window, observed * step).await?,
    })
}

/// When each instance was observed. An agent that has another address is another target, of the same instance.
async fn instances(client: &Client, scope: &Scope, times: (f64, f64), step: Duration) -> anyhow::Result<Instances> {
    let youngest = format!("{DOWNSTREAM},min_age_seconds={:?}", MIN_AGES[0]);
    let open = scope.series(OPEN_BY_AGE.name, &youngest);
    let query = format!("group by (cluster, instance, node, instance_pod) ({open})");
    let mut instances = Instances::default();
    for series in prometheus::range(client, &query, times, step).await? {
        let values = series.values.iter().map(|(time, _)| *time as u64);
        let sample = Sample {
            series: String::new(),
            labels: series.labels,
            value: 1.0,
        };
        instances.add(instance(&sample), values);
    }
    Ok(instances)
}

/// What tells the instances of a point in one cluster apart: node, or target, and pod.
fn instance(sample: &Sample) -> String {
    format!("{} {}", node(sample), sample.label("instance_pod"))
}

/// The lifetimes of the connections that ended in the window; the point was observed for `time` seconds of it.
async fn lifetimes(client: &Client, scope: &Scope, window: Duration, time: f64) -> anyhow::Result<Lifetimes> {
    let window = duration::format(window);
    let bucket = format!("{}_bucket", DURATION.name);
    let sum = format!("{}_sum", DURATION.name);
    let increase = |name: &str, by| {
        let series = scope.series(name, DOWNSTREAM);
        // A selector with `or` has no range of its own.
        let range = match scope.node {
            Some(_) => format!("[{window}:]"),
            None => format!("[{window}]"),
        };
        format!("sum{by} (increase({series}{range}))")
    };
    let mut buckets: Vec<_> = prometheus::query(client, &bucket, &increase(&bucket, " by (le)"))
        .await?
        .iter()
        .filter_map(|sample| Some((sample.label("le").parse::<f64>().ok()?, sample.value)))
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let sum = prometheus::query(client, &sum, &increase(&sum, "")).await?;
    Ok(Lifetimes {
        buckets,
        sum: sum.first().map_or(0.0, |sample| sample.value),
        time: time.max(1.0),
    })
}

/// The place of a value of `min_age_seconds` in [`Ages`].
fn place(age: &str) -> Option<usize> {
    MIN_AGES.iter().position(|known| *known == age)
}

fn add(ages: &mut Ages, sample: &Sample) {
    if let Some(place) = place(sample.label("min_age_seconds")) {
        ages.0[place] += sample.value;
    }
}

/// A dependent, as `<namespace>/<name>`; sums and unknown callers have no namespace of their own.
fn dependent(sample: &Sample) -> Name {
    in_cluster(sample, "source_workload_namespace", "source_workload")
}
