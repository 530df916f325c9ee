//! What a histogram gained between two scrapes.

use narrows_testbed::scrape::Metrics;

/// Upper bounds in seconds with how many lie between each and the one before.
#[derive(Debug)]
pub struct Gained(Vec<(f64, f64)>);

impl Gained {
    /// What `name` (without suffix) gained, over all series with these labels.
    pub fn between(before: &Metrics, after: &Metrics, name: &str, labels: &[(&str, &str)]) -> Self {
        let (before, after) = (cumulative(before, name, labels), cumulative(after, name, labels));
        assert!(!after.is_empty(), "no {name} with {labels:?}");
        let mut below = 0.0;
        let each = after.into_iter().map(|(bound, count)| {
            let earlier = before.iter().find(|(other, _)| *other == bound);
            let gained = count - earlier.map_or(0.0, |(_, count)| *count);
            let own = gained - below;
            below = gained;
            (bound, own)
        });
        Self(each.collect())
    }

    pub fn count(&self) -> f64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// How many lie above `seconds`, which is to be a bound.
    pub fn above(&self, seconds: f64) -> f64 {
        self.0
            .iter()
            .filter(|(bound, _)| *bound > seconds)
            .map(|(_, count)| count)
            .sum()
    }

    /// The upper bound of the bucket that holds this percentile, in seconds.
    #[track_caller]
    pub fn percentile(&self, p: f64) -> f64 {
        let rank = (self.count() * p / 100.0).ceil().max(1.0);
        let mut below = 0.0;
        let found = self.0.iter().find(|(_, count)| {
            below += count;
            below >= rank
        });
        found.expect("an empty histogram has no percentiles").0
    }
}

/// Bounds with how many lie below, in the order of the bounds.
fn cumulative(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
    let name = format!("{name}_bucket");
    let mut counts: Vec<(f64, f64)> = Vec::new();
    for series in metrics.matching(&name, labels) {
        let bound = match series.label("le").expect("a bucket has a bound") {
            "+Inf" => f64::INFINITY,
            bound => bound.parse().expect("a number"),
        };
        match counts.iter_mut().find(|(other, _)| *other == bound) {
            Some((_, count)) => *count += series.value,
            None => counts.push((bound, series.value)),
        }
    }
    counts.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    counts
}

/// How many factors of two lie between two durations, either way.
pub fn octaves(one: f64, other: f64) -> f64 {
    (one / other).log2().abs()
}

#[test]
fn only_what_is_new_counts() {
    let parse = |text: &str| Metrics::parse(text).expect("a scrape");
    let before = parse("h_bucket{s=\"a\",le=\"0.1\"} 5\nh_bucket{s=\"a\",le=\"+Inf\"} 6\n");
    let after = parse(
        "h_bucket{s=\"a\",le=\"0.1\"} 7\nh_bucket{s=\"a\",le=\"+Inf\"} 9\n\
         h_bucket{s=\"b\",le=\"0.1\"} 1\nh_bucket{s=\"b\",le=\"+Inf\"} 1\n",
    );
    let gained = Gained::between(&before, &after, "h", &[]);
    assert_eq!((gained.count(), gained.above(0.1)), (4.0, 1.0));
    assert_eq!((gained.percentile(75.0), gained.percentile(76.0)), (0.1, f64::INFINITY));
}
