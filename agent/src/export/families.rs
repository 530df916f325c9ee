//! Families of metrics from rows of labels and values.

use crate::model::Histogram;
use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};
use std::{borrow::Cow, fmt};

/// Names and values.
pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// A counter for each row; `name` without `_total`.
pub fn counters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    counters_f64(encoder, name, help, rows.map(|(labels, value)| (labels, value as f64)))
}

/// The same for values that are not whole.
pub fn counters_f64<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in rows {
        with_labels(&mut family, &labels, |metric| {
            metric.encode_counter::<NoLabelSet, f64, f64>(&value, None)
        })?;
    }
    Ok(())
}

/// A gauge for each row.
pub fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        with_labels(&mut family, &labels, |metric| metric.encode_gauge(&value))?;
    }
    Ok(())
}

/// A histogram for each row.
pub fn histograms<'a, 'b>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, &'b Histogram)>,
) -> fmt::Result {
    histograms_by(encoder, name, help, rows, Histogram::exported)
}

/// The same with buckets down to a microsecond.
pub fn histograms_fine<'a, 'b>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, &'b Histogram)>,
) -> fmt::Result {
    histograms_by(encoder, name, help, rows, Histogram::exported_fine)
}

fn histograms_by<'a, 'b>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Labels<'a>, &'b Histogram)>,
    buckets: impl Fn(&Histogram) -> Vec<(f64, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, histogram) in rows {
        with_labels(&mut family, &labels, |metric| {
            metric.encode_histogram::<NoLabelSet>(histogram.sum(), histogram.count(), &buckets(histogram), None)
        })?;
    }
    Ok(())
}

/// Encodes one series; without labels, without braces.
fn with_labels(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() {
        return encode(family);
    }
    encode(&mut family.encode_family(labels)?)
}
