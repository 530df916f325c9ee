use super::{
    super::synthetic::{Shape, snapshot},
    *,
};
use crate::{
    metrics::{Detail, DetailPolicy, Details},
    points::{Kind, Mesh},
};
use std::collections::BTreeMap;

const NOW: i64 = 1_900_000_000_000;

fn shape(kind: Kind, name: &str) -> Shape {
    Shape {
        name: name.to_owned(),
        kind,
        mesh: Mesh::Istio,
        local: true,
        dependents: 2,
        served: 1,
        ports: 1,
        called: kind != Kind::Sidecar,
    }
}

/// A node with a sidecar and a waypoint, and two pairs.
fn node(details: Details, before: Option<Series>) -> Snapshot {
    let shapes = [
        shape(Kind::Sidecar, "shop/checkout"),
        shape(Kind::Waypoint, "shop/waypoint"),
    ];
    let mut node = snapshot(&shapes, 2, details);
    for row in &mut node.points {
        row.load.downstream.opened = 7;
        row.load.downstream.round_trip.buckets[10] = 3;
        for dependent in &mut row.dependents.rows {
            dependent.row.tally.connections = 5;
        }
    }
    node.before = before.map(Arc::new);
    node
}

/// What is exported, by series; without the agent's own process, which is read anew.
fn shown(snapshot: &Snapshot) -> BTreeMap<String, f64> {
    let mut out = String::new();
    text(Arc::new(snapshot.clone()), Format::OpenMetrics, &mut out).expect("a text");
    let samples = out
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("process_"));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

/// With minimal sidecars.
fn few_sidecars() -> Details {
    let mut policy = DetailPolicy::new(Detail::Full, &BTreeMap::new(), 1);
    assert!(policy.limit_sidecars(2));
    policy.details()
}

#[test]
fn what_becomes_minimal_has_fewer_series_with_the_same_values() {
    let (full, less) = (
        shown(&node(Details::all(Detail::Full), None)),
        shown(&node(few_sidecars(), None)),
    );
    for (series, value) in less
        .iter()
        .filter(|(series, _)| !series.starts_with("narrows_metrics_detail"))
    {
        assert_eq!(full.get(series), Some(value), "{series}");
    }
    let of = |shown: &BTreeMap<String, f64>, kind: &str| shown.keys().filter(|series| series.contains(kind)).count();
    assert_eq!(of(&less, "waypoint"), of(&full, "waypoint"));
    assert!(of(&less, "sidecar") < 60 && of(&full, "sidecar") > 300, "{less:?}");
    for gone in ["narrows_round_trip_seconds", "narrows_dependent_", "narrows_read_delay"] {
        let is_there = less
            .keys()
            .any(|series| series.starts_with(gone) && series.contains("sidecar"));
        assert!(!is_there, "{gone}");
    }
    let detail = |kind: &str, detail: &str| format!("narrows_metrics_detail{{kind=\"{kind}\",detail=\"{detail}\"}}");
    assert_eq!(less.get(&detail("sidecar", "minimal")), Some(&1.0));
    assert_eq!(less.get(&detail("waypoint", "full")), Some(&1.0));
}

#[test]
fn everything_is_kept_at_every_detail_so_that_no_counter_goes_back() {
    let kept = |details| series(&node(details, None), NOW).expect("kept");
    let (full, less) = (kept(Details::all(Detail::Full)), kept(few_sidecars()));
    assert_eq!(full, less);
    // The next agent begins with all sidecars in full, and counts the same again.
    let next = shown(&node(Details::all(Detail::Full), Some(less)));
    for (series, value) in shown(&node(Details::all(Detail::Full), None)) {
        let is_cumulative = ["_total", "_bucket", "_sum", "_count"].iter().any(|end| {
            let name = series.split('{').next().unwrap_or_default();
            name.ends_with(end)
        });
        let expected = if is_cumulative { 2.0 * value } else { value };
        assert_eq!(next.get(&series), Some(&expected), "{series}");
    }
    // What only former agents have counted is shown by the same rule.
    let mut gone = node(few_sidecars(), Some(full));
    gone.points.clear();
    let gone = shown(&gone);
    let of = |name: &str, kind: &str| {
        let mut all = gone.keys();
        all.any(|series| series.starts_with(name) && series.contains(kind))
    };
    assert!(of("narrows_connections_opened_total", "sidecar") && !of("narrows_round_trip_seconds", "sidecar"));
    assert!(of("narrows_round_trip_seconds", "waypoint"));
}

#[test]
fn pairs_are_summed_and_go_on_when_they_are_shown_again() {
    const NAME: &str = "narrows_enforced_connections_total";
    let pairs = |shown: &BTreeMap<String, f64>| {
        let of = shown.iter().filter(|(series, _)| series.starts_with(NAME));
        of.map(|(series, value)| (series.contains("workload-"), *value))
            .collect::<Vec<_>>()
    };
    let points = node(Details::all(Detail::Points), None);
    assert_eq!(pairs(&shown(&points)), [(false, 2.0)], "the sum of two pairs");
    let kept = series(&points, NOW).expect("kept");
    let again = node(Details::all(Detail::Points), Some(kept));
    assert_eq!(pairs(&shown(&again)), [(false, 4.0)]);
    // In full, the pairs of this agent are shown beside the sum of those before.
    let kept = series(&again, NOW).expect("kept");
    let full = node(Details::all(Detail::Full), Some(kept));
    assert_eq!(pairs(&shown(&full)), [(false, 4.0), (true, 1.0), (true, 1.0)]);
    // And the sum goes on from where it was, not from where the pairs are.
    let kept = series(&full, NOW).expect("kept");
    let last = node(Details::all(Detail::Points), Some(kept.clone()));
    assert_eq!(pairs(&shown(&last)), [(false, 6.0)]);
    let end = series(&last, NOW).expect("kept");
    assert!(
        kept.families[NAME]
            .keys()
            .all(|key| end.families[NAME].contains_key(key)),
        "pairs are kept meanwhile"
    );
}
