//! The series of a cluster over a hundred minutes, one sample a minute, as promtool reads them.

use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _, ops::RangeFrom};

/// The length of a scenario, in minutes.
pub const MINUTES: usize = 100;

/// The minute from which on something is wrong.
pub const THEN: usize = 20;

/// A set of labels.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// The values of a series by minute; `None` where it has none.
#[derive(Clone)]
enum Values {
    Gauge(Vec<Option<f64>>),
    /// How much the counter grows in each minute.
    Counter(Vec<Option<f64>>),
}

impl Values {
    const fn by_minute(&mut self) -> &mut Vec<Option<f64>> {
        match self {
            Self::Gauge(values) | Self::Counter(values) => values,
        }
    }

    fn samples(&self) -> Vec<Option<f64>> {
        match self {
            Self::Gauge(values) => values.clone(),
            // A series that comes back is that of another process.
            Self::Counter(growth) => (growth.iter())
                .scan(0.0, |total, growth| {
                    *total = growth.map_or(0.0, |growth| *total + growth);
                    Some(growth.map(|_| *total))
                })
                .collect(),
        }
    }
}

/// All series of a cluster.
#[derive(Clone, Default)]
pub struct World {
    series: BTreeMap<String, Values>,
}

/// The name of a series, with its labels in order.
fn key(name: &str, labels: Labels<'_>) -> String {
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    let labels: Vec<_> = labels
        .iter()
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}

impl World {
    /// Adds a gauge, or replaces its value from a minute on.
    pub fn gauge(&mut self, name: &str, labels: Labels<'_>, from: RangeFrom<usize>, value: f64) {
        self.put(name, labels, from, value, Values::Gauge);
    }

    /// Adds a counter that grows by so much in each minute, or replaces its growth from a minute on.
    pub fn counter(&mut self, name: &str, labels: Labels<'_>, from: RangeFrom<usize>, growth: f64) {
        self.put(name, labels, from, growth, Values::Counter);
    }

    fn put(
        &mut self,
        name: &str,
        labels: Labels<'_>,
        from: RangeFrom<usize>,
        value: f64,
        new: fn(Vec<Option<f64>>) -> Values,
    ) {
        let series = self.series.entry(key(name, labels));
        let values = series.or_insert_with(|| new(vec![None; MINUTES])).by_minute();
        values[from].fill(Some(value));
    }

    /// From a minute on there are no series whose name and labels contain all of these texts. Fails when there are none before.
    #[track_caller]
    pub fn end(&mut self, from: RangeFrom<usize>, having: &[&str]) {
        let mut ended = 0;
        for (name, values) in &mut self.series {
            if having.iter().all(|text| name.contains(text)) {
                values.by_minute()[from.clone()].fill(None);
                ended += 1;
            }
        }
        assert!(ended > 0, "no series has {having:?}");
    }

    /// For some minutes there are no series that contain all of these texts; then they are as before.
    #[track_caller]
    pub fn pause(&mut self, minutes: std::ops::Range<usize>, having: &[&str]) {
        let before = self.clone();
        self.end(minutes.start.., having);
        for (name, values) in &mut self.series {
            if having.iter().all(|text| name.contains(text)) {
                let mut then = before.series[name].clone();
                let (now, then) = (values.by_minute(), then.by_minute());
                now[minutes.end..].clone_from_slice(&then[minutes.end..]);
            }
        }
    }

    /// `input_series` of a test.
    pub fn input(&self) -> Vec<Value> {
        let series = self.series.iter();
        series
            .map(|(name, values)| json!({ "series": name, "values": notation(&values.samples()) }))
            .collect()
    }
}

/// Samples in promtool's notation, in which `a+bxn` is a, a + b, … a + n × b, and `_xn` are n missing ones.
fn notation(samples: &[Option<f64>]) -> String {
    let mut text = String::new();
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let run = match first {
            None => {
                let run = rest.iter().take_while(|sample| sample.is_none()).count();
                write!(text, "_x{run} ")
            }
            .map(|()| rest.iter().take_while(|sample| sample.is_none()).count()),
            Some(first) => {
                let step = rest.get(1).copied().flatten().map_or(0.0, |second| second - first);
                let on_the_line = |(n, sample): &(usize, &Option<f64>)| {
                    sample.is_some_and(|sample| (sample - (first + *n as f64 * step)).abs() < 1e-9)
                };
                let run = rest.iter().enumerate().take_while(on_the_line).count();
                write!(text, "{first}+{step}x{} ", run - 1).map(|()| run)
            }
        };
        rest = &rest[run.expect("a text can be written")..];
    }
    // A negative step has its own sign.
    text.trim_end().replace("+-", "-")
}

#[test]
fn samples_are_written_as_promtool_reads_them() {
    let samples = [
        Some(0.0),
        Some(2.0),
        Some(4.0),
        None,
        None,
        Some(5.0),
        Some(4.0),
        Some(9.0),
    ];
    assert_eq!(notation(&samples), "0+2x2 _x2 5-1x1 9+0x0");
    let mut world = World::default();
    world.counter("c", &[("b", "2"), ("a", "1")], 0.., 1.0);
    world.pause(2..98, &["c{"]);
    assert_eq!(
        world.input(),
        [json!({ "series": "c{a=\"1\",b=\"2\"}", "values": "1+1x1 _x96 1+1x1" })]
    );
}
