//! How long connections of points live, and how old the open ones are: what a restart of the point would cut.

use super::{
    sides::{SIDES, by_side},
    sockets::Sockets,
};
use crate::{
    metrics::{
        Detail, Encoder, Labels, Sample, Value, families,
        labels::{MIN_AGE, POINT, SIDE},
        with,
    },
    program::{Need, WALK},
};
use agent_common::{AGE_BOUNDS, AGES};
use std::{collections::BTreeMap, fmt};

families! {
    DURATION: histogram("narrows_connection_duration_seconds", "Lifetimes of the point's TCP connections that have ended")
        .by(&[POINT, SIDE])
        .caveat(
            "A connection without data that began and ended within a tick counts as 0; one from before the agent's start counts from \
             then; without the programs data_arrived and data_read, lifetimes are up to a tick too short"
        )
        .at(Detail::Points);

    OPEN_BY_AGE: gauge(
        "narrows_open_connections_by_age",
        "Open TCP connections of the point that are at least so old: what a restart that began so long ago would cut now"
    )
        .by(&[POINT, SIDE, MIN_AGE])
        .caveat("Connections from before the agent's start count from then")
        .needs(&[Need::Program(&WALK)])
        .at(Detail::Points);
}

/// The values of the label `min_age_seconds`: [`AGE_BOUNDS`].
pub const MIN_AGES: [&str; AGE_BOUNDS.len()] = ["1", "5", "30", "60", "120", "300", "600", "3600", "14400", "86400"];

/// The lifetimes of the connections of a point that have ended, by side: upstream, downstream.
#[derive(Clone, Debug, Default)]
pub struct Lifetimes([Lifetime; 2]);

/// The lifetimes of the connections of one side.
#[derive(Clone, Debug, Default)]
struct Lifetime {
    sum_ms: u64,
    ended: [u64; AGES],
}

impl Lifetimes {
    /// Adds what the kernel has counted since the last reading.
    pub fn add(&mut self, new: &agent_common::Lifetimes) {
        for (side, all) in self.0.iter_mut().enumerate() {
            all.sum_ms += new.sum_ms[side];
            for (total, new) in all.ended.iter_mut().zip(new.ended[side]) {
                *total += u64::from(new);
            }
        }
    }
}

impl Sample for &Lifetime {
    fn value(&self, _: crate::metrics::Kind) -> Value {
        let bounds = AGE_BOUNDS.into_iter().map(f64::from).chain([f64::INFINITY]);
        Value::Histogram(self.sum_ms as f64 / 1e3, bounds.zip(self.ended).collect())
    }
}

/// The number of connections that have reached each of [`AGE_BOUNDS`].
pub fn reached(ages: &[u64; AGES]) -> BTreeMap<u32, u64> {
    let bounds = AGE_BOUNDS.into_iter().enumerate();
    bounds.map(|(at, bound)| (bound, ages[at + 1..].iter().sum())).collect()
}

/// A row for each of [`AGE_BOUNDS`], with the number of connections that have reached it.
pub fn by_age<'a>(labels: Labels<'a>, ages: &[u64; AGES]) -> impl Iterator<Item = (Labels<'a>, u64)> + use<'a> {
    let reached = reached(ages).into_values();
    MIN_AGES
        .into_iter()
        .zip(reached)
        .map(move |(age, n)| (with(labels.clone(), [("min_age_seconds", age)]), n))
}

/// Writes the families.
///
/// # Errors
/// The error of the encoder.
pub fn encode<'a>(
    points: impl Iterator<Item = (&'a Labels<'a>, (&'a Lifetimes, &'a Sockets))> + Clone,
    encoder: &mut Encoder<'_>,
) -> fmt::Result {
    encoder.write(
        &DURATION,
        by_side(points.clone().map(|(labels, (of, _))| (labels, &of.0))),
    )?;
    let ages = points.flat_map(|(labels, (_, sockets))| {
        SIDES
            .into_iter()
            .zip(sockets.backlog.ages)
            .flat_map(move |(side, ages)| by_age(with(labels.clone(), [("side", side)]), &ages.map(u64::from)))
    });
    encoder.write(&OPEN_BY_AGE, ages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_old_is_among_the_younger() {
        let mut ages = [0; AGES];
        (ages[0], ages[1], ages[3], ages[AGES - 1]) = (7, 1, 2, 4);
        let rows: Vec<_> = by_age(Labels::new(), &ages)
            .map(|(labels, n)| (labels[0].1.to_string(), n))
            .collect();
        assert_eq!(rows[0], ("1".into(), 7));
        assert_eq!(rows[2], ("30".into(), 6));
        assert_eq!(rows[9], ("86400".into(), 4));
        assert_eq!(MIN_AGES.map(|age| age.parse::<u32>().expect("a number")), AGE_BOUNDS);
    }
}
