//! Families of metrics from rows of labels and values.

use super::series::{Kept, Series, Value, key, labels};
use crate::model::Histogram;
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

/// Names and values.
pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// Where families go, and what the agents before this one had counted, which comes on top.
pub struct Encoder<'a> {
    out: Out<'a>,
    before: Option<Arc<Series>>,
}

enum Out<'a> {
    /// As text.
    Text(DescriptorEncoder<'a>),
    /// Kept for the next agent, with the time in milliseconds since 1970.
    Kept(&'a mut Series, i64),
}

impl<'a> Encoder<'a> {
    /// Encodes as text.
    pub const fn text(encoder: DescriptorEncoder<'a>, before: Option<Arc<Series>>) -> Self {
        Self {
            out: Out::Text(encoder),
            before,
        }
    }

    /// Keeps what is cumulative, as of `now`.
    pub const fn kept(series: &'a mut Series, now: i64, before: Option<Arc<Series>>) -> Self {
        Self {
            out: Out::Kept(series, now),
            before,
        }
    }

    /// A cumulative family: its rows, then those that only the agents before had.
    fn cumulative<'r>(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        rows: impl Iterator<Item = (Labels<'r>, Value)>,
    ) -> fmt::Result {
        let before = self.before.as_ref().and_then(|series| series.families.get(name));
        let (mut text, mut kept) = match &mut self.out {
            Out::Text(encoder) => (Some(encoder.encode_descriptor(name, help, None, kind)?), None),
            Out::Kept(series, now) => (None, Some((series.families.entry(name.to_owned()).or_default(), *now))),
        };
        let mut met = HashSet::new();
        for (labels, value) in rows {
            let key = match (before, &kept) {
                (None, None) => String::new(),
                _ => key(&labels),
            };
            let earlier = before.and_then(|before| before.get_key_value(&key));
            met.extend(earlier.map(|(key, _)| key.as_str()));
            let value = value.after(earlier.map(|(_, kept)| &kept.value));
            if let Some(text) = &mut text {
                with_labels(text, &labels, labels.is_empty(), |metric| encode(metric, &value))?;
            }
            if let Some((family, now)) = &mut kept {
                family.insert(key, Kept { value, at: *now });
            }
        }
        let empty = HashMap::new();
        for (key, former) in before
            .unwrap_or(&empty)
            .iter()
            .filter(|(key, _)| !met.contains(key.as_str()))
        {
            if let Some(text) = &mut text {
                let labels: Vec<_> = labels(key).collect();
                with_labels(text, &labels, labels.is_empty(), |metric| encode(metric, &former.value))?;
            }
            if let Some((family, _)) = &mut kept {
                family.insert(key.clone(), former.clone());
            }
        }
        Ok(())
    }

    /// A family that is of no concern to the next agent.
    fn as_it_is<'r>(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        rows: impl Iterator<Item = (Labels<'r>, f64)>,
        encode: impl Fn(&mut MetricEncoder<'_>, f64) -> fmt::Result,
    ) -> fmt::Result {
        let Out::Text(encoder) = &mut self.out else {
            return Ok(());
        };
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in rows {
            with_labels(&mut family, &labels, labels.is_empty(), |metric| encode(metric, value))?;
        }
        Ok(())
    }
}

/// Encodes what a series has counted.
fn encode(metric: &mut MetricEncoder<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Counter(value) => metric.encode_counter::<NoLabelSet, f64, f64>(value, None),
        Value::Histogram(sum, buckets) => {
            let count = buckets.iter().map(|(_, n)| n).sum();
            metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}

/// A counter for each row; `name` without `_total`.
pub fn counters<'a>(
    encoder: &mut Encoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    counters_f64(encoder, name, help, rows.map(|(labels, value)| (labels, value as f64)))
}

/// The same for values that are not whole.
pub fn counters_f64<'a>(
    encoder: &mut Encoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, f64)>,
) -> fmt::Result {
    let rows = rows.map(|(labels, value)| (labels, Value::Counter(value)));
    encoder.cumulative((name, help, MetricType::Counter), rows)
}

/// The same for what is kept elsewhere: by the kernel, or nowhere, as it is about this process.
pub fn own_counters<'a>(
    encoder: &mut Encoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, f64)>,
) -> fmt::Result {
    encoder.as_it_is((name, help, MetricType::Counter), rows, |metric, value| {
        encode(metric, &Value::Counter(value))
    })
}

/// A gauge for each row.
pub fn gauges<'a>(
    encoder: &mut Encoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, f64)>,
) -> fmt::Result {
    encoder.as_it_is((name, help, MetricType::Gauge), rows, |metric, value| {
        metric.encode_gauge(&value)
    })
}

/// A histogram for each row.
pub fn histograms<'a, 'b>(
    encoder: &mut Encoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, &'b Histogram)>,
) -> fmt::Result {
    histograms_by(encoder, name, help, rows, Histogram::exported)
}

/// The same with buckets down to a microsecond.
pub fn histograms_fine<'a, 'b>(
    encoder: &mut Encoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, &'b Histogram)>,
) -> fmt::Result {
    histograms_by(encoder, name, help, rows, Histogram::exported_fine)
}

fn histograms_by<'a, 'b>(
    encoder: &mut Encoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, &'b Histogram)>,
    buckets: impl Fn(&Histogram) -> Vec<(f64, u64)>,
) -> fmt::Result {
    let rows = rows.map(|(labels, histogram)| (labels, Value::Histogram(histogram.sum(), buckets(histogram))));
    encoder.cumulative((name, help, MetricType::Histogram), rows)
}

/// Encodes one series; without labels, without braces.
fn with_labels(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    are_none: bool,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if are_none {
        return encode(family);
    }
    encode(&mut family.encode_family(labels)?)
}
