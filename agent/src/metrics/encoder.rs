//! Encodes families of metrics from rows of labels and values.

use super::{
    family::{Family, Kind},
    row::Labels,
    series::{Kept, Series, Value, key, labels},
};
use crate::{
    histogram::Histogram,
    program::{Need, Offer},
};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

/// Writes families to an output, and adds what previous agents had counted.
pub struct Encoder<'a> {
    out: Out<'a>,
    before: Option<Arc<Series>>,
    offer: Offer,
}

enum Out<'a> {
    /// The text of a response.
    Text(DescriptorEncoder<'a>),
    /// Stored for the next agent, with the time in milliseconds since 1970.
    Kept(&'a mut Series, i64),
}

/// The value of a row.
pub trait Sample {
    /// Its value in a family of this kind.
    fn value(&self, kind: Kind) -> Value;
}

impl Sample for f64 {
    fn value(&self, _: Kind) -> Value {
        Value::Number(*self)
    }
}

impl Sample for u64 {
    fn value(&self, _: Kind) -> Value {
        Value::Number(*self as f64)
    }
}

impl Sample for usize {
    fn value(&self, _: Kind) -> Value {
        Value::Number(*self as f64)
    }
}

impl Sample for i64 {
    fn value(&self, _: Kind) -> Value {
        Value::Number(*self as f64)
    }
}

impl Sample for u32 {
    fn value(&self, _: Kind) -> Value {
        Value::Number(f64::from(*self))
    }
}

impl Sample for bool {
    fn value(&self, _: Kind) -> Value {
        Value::Number(f64::from(u8::from(*self)))
    }
}

impl Sample for &Histogram {
    fn value(&self, kind: Kind) -> Value {
        let buckets = match kind {
            Kind::FineHistogram => self.exported_fine(),
            _ => self.exported(),
        };
        Value::Histogram(self.sum(), buckets)
    }
}

impl<'a> Encoder<'a> {
    /// Encodes for a response, as text.
    pub fn text(encoder: DescriptorEncoder<'a>, before: Option<Arc<Series>>, offer: Offer) -> Self {
        Self {
            out: Out::Text(encoder),
            before,
            offer,
        }
    }

    /// Stores the cumulative families, as of `now`.
    pub fn kept(series: &'a mut Series, now: i64, before: Option<Arc<Series>>, offer: Offer) -> Self {
        Self {
            out: Out::Kept(series, now),
            before,
            offer,
        }
    }

    /// Writes a family, with a series for each row: for a counter or a histogram that continues across agents, the rows, then those
    /// that only previous agents had. There are no rows if a need of the family is not met.
    ///
    /// # Errors
    /// The error of the underlying encoder.
    pub fn write<'r, T: Sample>(
        &mut self,
        family: &Family,
        rows: impl IntoIterator<Item = (Labels<'r>, T)>,
    ) -> fmt::Result {
        let is_there = self.has_all(family.needs);
        let rows = rows.into_iter().filter(|_| is_there).map(|(labels, sample)| {
            debug_assert!(
                labels
                    .iter()
                    .map(|(name, _)| *name)
                    .eq(family.labels().map(|label| label.name)),
                "{} has the labels {labels:?}",
                family.name
            );
            (labels, sample.value(family.kind))
        });
        match family.kind {
            Kind::Counter => self.cumulative(family, MetricType::Counter, rows),
            Kind::Histogram | Kind::FineHistogram => self.cumulative(family, MetricType::Histogram, rows),
            Kind::OwnCounter => self.as_it_is(family, MetricType::Counter, rows),
            Kind::Gauge => self.as_it_is(family, MetricType::Gauge, rows),
        }
    }

    /// Whether all of these needs are met.
    pub fn has_all(&self, needs: &[Need]) -> bool {
        self.offer.has_all(needs)
    }

    fn cumulative<'r>(
        &mut self,
        family: &Family,
        kind: MetricType,
        rows: impl Iterator<Item = (Labels<'r>, Value)>,
    ) -> fmt::Result {
        let before = self.before.as_ref().and_then(|series| series.families.get(family.name));
        let (mut text, mut kept) = match &mut self.out {
            Out::Text(encoder) => (
                Some(encoder.encode_descriptor(bare(family), family.help, None, kind)?),
                None,
            ),
            Out::Kept(series, now) => {
                let family = series.families.entry(family.name.to_owned()).or_default();
                (None, Some((family, *now)))
            }
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
                with_labels(text, &labels, labels.is_empty(), |metric| {
                    encode(metric, family.kind, &value)
                })?;
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
                with_labels(text, &labels, labels.is_empty(), |metric| {
                    encode(metric, family.kind, &former.value)
                })?;
            }
            if let Some((family, _)) = &mut kept {
                family.insert(key.clone(), former.clone());
            }
        }
        Ok(())
    }

    /// Writes a family that is not stored for the next agent.
    fn as_it_is<'r>(
        &mut self,
        family: &Family,
        kind: MetricType,
        rows: impl Iterator<Item = (Labels<'r>, Value)>,
    ) -> fmt::Result {
        let Out::Text(encoder) = &mut self.out else {
            return Ok(());
        };
        let mut text = encoder.encode_descriptor(bare(family), family.help, None, kind)?;
        for (labels, value) in rows {
            with_labels(&mut text, &labels, labels.is_empty(), |metric| {
                encode(metric, family.kind, &value)
            })?;
        }
        Ok(())
    }
}

/// The name that the encoder expects: it adds `_total` itself.
fn bare(family: &Family) -> &'static str {
    family.name.strip_suffix("_total").unwrap_or(family.name)
}

/// Encodes the value of a series.
fn encode(metric: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match value {
        Value::Number(value) if kind == Kind::Gauge => metric.encode_gauge(value),
        Value::Number(value) => metric.encode_counter::<NoLabelSet, f64, f64>(value, None),
        Value::Histogram(sum, buckets) => {
            let count = buckets.iter().map(|(_, n)| n).sum();
            metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}

/// Encodes one series; without labels, braces are omitted.
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
