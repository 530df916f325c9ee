//! Encodes families of metrics from rows of labels and values.

use super::{
    details::{Details, without_pair},
    family::{Family, Kind},
    row::{Labels, texts},
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
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

/// Writes families to an output, and adds what previous agents had counted.
pub struct Encoder<'a> {
    out: Out<'a>,
    terms: Terms,
}

/// What is written, whatever the output.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The cumulative series of previous agents.
    pub before: Option<Arc<Series>>,
    /// What this kernel provides.
    pub offer: Offer,
    /// How much is exported.
    pub details: Details,
}

/// A text format. Samples have the same syntax in both; the name of a counter's family does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics: a counter's family has the name of its samples without `_total`.
    OpenMetrics,
    /// Prometheus text: a counter's family has the name of its samples.
    Prometheus,
}

enum Out<'a> {
    /// The text of a response.
    Text(DescriptorEncoder<'a>, Format),
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
    pub const fn text(encoder: DescriptorEncoder<'a>, format: Format, terms: Terms) -> Self {
        Self {
            out: Out::Text(encoder, format),
            terms,
        }
    }

    /// Stores the cumulative families, as of `now`. The detail does not matter: what is not exported now may be by the next agent,
    /// and must not begin again at 0 then.
    pub const fn kept(series: &'a mut Series, now: i64, terms: Terms) -> Self {
        Self {
            out: Out::Kept(series, now),
            terms,
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
        if self.terms.details.sum(family) {
            return self.write_rows(family, sums(rows).into_iter());
        }
        self.write_rows(family, rows)
    }

    fn write_rows<'r>(&mut self, family: &Family, rows: impl Iterator<Item = (Labels<'r>, Value)>) -> fmt::Result {
        match family.kind {
            Kind::Counter => self.cumulative(family, MetricType::Counter, rows),
            Kind::Histogram | Kind::FineHistogram => self.cumulative(family, MetricType::Histogram, rows),
            Kind::OwnCounter => self.as_it_is(family, MetricType::Counter, rows),
            Kind::Gauge => self.as_it_is(family, MetricType::Gauge, rows),
        }
    }

    /// Whether all of these needs are met.
    pub fn has_all(&self, needs: &[Need]) -> bool {
        self.terms.offer.has_all(needs)
    }

    fn cumulative<'r>(
        &mut self,
        family: &Family,
        kind: MetricType,
        rows: impl Iterator<Item = (Labels<'r>, Value)>,
    ) -> fmt::Result {
        let Terms { before, details, .. } = &self.terms;
        let before = before.as_ref().and_then(|series| series.families.get(family.name));
        let (mut text, mut kept) = match &mut self.out {
            Out::Text(encoder, format) => (Some(Text::new(encoder, *format, family, kind)?), None),
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
            if let Some(text) = text.as_mut().filter(|_| details.show(family, texts(&labels))) {
                text.series(&labels, labels.is_empty(), &value)?;
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
                if details.show(family, labels.iter().copied()) {
                    text.series(&labels, labels.is_empty(), &former.value)?;
                }
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
        let Out::Text(encoder, format) = &mut self.out else {
            return Ok(());
        };
        let mut text = Text::new(encoder, *format, family, kind)?;
        for (labels, value) in rows.filter(|(labels, _)| self.terms.details.show(family, texts(labels))) {
            text.series(&labels, labels.is_empty(), &value)?;
        }
        Ok(())
    }
}

/// The sum of the rows over all pairs of workloads, by the other labels.
fn sums<'r>(rows: impl Iterator<Item = (Labels<'r>, Value)>) -> Vec<(Labels<'r>, Value)> {
    let mut sums: BTreeMap<String, (Labels<'r>, Value)> = BTreeMap::new();
    for (labels, value) in rows {
        let labels = without_pair(labels);
        let key = key(&labels);
        let value = value.after(sums.get(&key).map(|(_, value)| value));
        sums.insert(key, (labels, value));
    }
    sums.into_values().collect()
}

/// A family in a text format.
struct Text<'e> {
    encoder: MetricEncoder<'e>,
    format: Format,
    kind: Kind,
}

impl<'e> Text<'e> {
    fn new(
        encoder: &'e mut DescriptorEncoder<'_>,
        format: Format,
        family: &'e Family,
        kind: MetricType,
    ) -> Result<Self, fmt::Error> {
        let name = match format {
            // The encoder adds `_total` to the samples itself.
            Format::OpenMetrics => family.name.strip_suffix("_total").unwrap_or(family.name),
            Format::Prometheus => family.name,
        };
        Ok(Self {
            encoder: encoder.encode_descriptor(name, family.help, None, kind)?,
            format,
            kind: family.kind,
        })
    }

    /// Writes one series; without labels, braces are omitted.
    fn series(&mut self, labels: &impl EncodeLabelSet, are_none: bool, value: &Value) -> fmt::Result {
        let (kind, format) = (self.kind, self.format);
        if are_none {
            return encode(&mut self.encoder, format, kind, value);
        }
        encode(&mut self.encoder.encode_family(labels)?, format, kind, value)
    }
}

/// Encodes the value of a series.
fn encode(metric: &mut MetricEncoder<'_>, format: Format, kind: Kind, value: &Value) -> fmt::Result {
    match value {
        Value::Number(value) if kind == Kind::Gauge || format == Format::Prometheus => metric.encode_gauge(value),
        Value::Number(value) => metric.encode_counter::<NoLabelSet, f64, f64>(value, None),
        Value::Histogram(sum, buckets) => {
            let count = buckets.iter().map(|(_, n)| n).sum();
            metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}
