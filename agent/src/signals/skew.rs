//! How evenly the threads of a point share its work: one that is full makes its connections wait, however idle the others are.

use super::{delays, processes};
use crate::{
    metrics::{
        Detail, Encoder, Labels, families,
        labels::{POINT, label},
        with,
    },
    program::{Need, WALK},
};
use std::{fmt, time::Duration};

/// Where no exits of threads are seen, threads are not known.
const THREADS: &[Need] = &[Need::Program(&processes::EXIT)];

families! {
    BUSIEST_CPU: gauge(
        "narrows_busiest_thread_cpu_ratio",
        "CPU time that the point's busiest thread used in the last tick, as a share of one CPU; at 1 it was never idle"
    )
        .by(&[POINT])
        .needs(THREADS)
        .at(Detail::Points);

    BUSIEST_SHARE: gauge(
        "narrows_busiest_thread_share_ratio",
        "Share of the point's CPU time in the last tick, or of its open downstream connections, that one thread has: the one with the most"
    )
        .by(&[POINT, &[label(
            "of",
            "cpu, or connections: those of a thread are the ones that it was the last to read from"
        )]])
        .caveat("Connections move between the threads of some proxies (Go, tokio), so that their share is that of a moment")
        .needs(&[Need::Program(&processes::EXIT), Need::Program(&WALK), Need::Program(&delays::READ)])
        .at(Detail::Points);

    SERVING: gauge(
        "narrows_serving_threads",
        "Threads of the point that were the last to read from an open downstream connection"
    )
        .by(&[POINT])
        .needs(&[Need::Program(&processes::EXIT), Need::Program(&WALK), Need::Program(&delays::READ)])
        .at(Detail::Points);
}

/// How the work of a point is spread over its threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Skew {
    /// CPU time of the busiest thread as a share of one CPU, and of the CPU time of all threads; `None` until two readings are known, or
    /// where the kernel keeps no times. The second one is also `None` where no thread ran.
    pub cpu: Option<(f64, Option<f64>)>,
    /// Connections of the thread with the most, of all, and the number of threads with any.
    pub connections: Option<(u64, u64, usize)>,
}

/// What is known of a thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadUse {
    /// The CPU time that it used between two readings; `None` if one of them is missing.
    pub cpu: Option<Duration>,
    /// Its open downstream connections.
    pub connections: u64,
}

impl Skew {
    /// Nothing is known.
    pub const NONE: Self = Self {
        cpu: None,
        connections: None,
    };

    /// The skew of these threads, whose readings are `elapsed` apart.
    pub fn of(threads: &[ThreadUse], elapsed: Option<Duration>) -> Self {
        let times: Vec<f64> = (threads.iter().filter_map(|thread| thread.cpu))
            .map(|time| time.as_secs_f64())
            .collect();
        let busiest = times.iter().copied().reduce(f64::max);
        let all: f64 = times.iter().sum();
        let elapsed = elapsed
            .map(|elapsed| elapsed.as_secs_f64())
            .filter(|elapsed| *elapsed > 0.0);
        let cpu = busiest.zip(elapsed).map(|(busiest, elapsed)| {
            // The two readings of a thread are not exactly as far apart as those of the clock.
            ((busiest / elapsed).min(1.0), (all > 0.0).then(|| busiest / all))
        });
        let connections = || threads.iter().map(|thread| thread.connections).filter(|n| *n > 0);
        Self {
            cpu,
            connections: connections()
                .max()
                .map(|most| (most, connections().sum(), connections().count())),
        }
    }
}

/// Writes the families.
///
/// # Errors
/// The error of the encoder.
pub fn encode<'a>(
    points: impl Iterator<Item = (&'a Labels<'a>, &'a Skew)> + Clone,
    encoder: &mut Encoder<'_>,
) -> fmt::Result {
    let cpu = points
        .clone()
        .filter_map(|(labels, skew)| Some((labels.clone(), skew.cpu?.0)));
    encoder.write(&BUSIEST_CPU, cpu)?;
    let shares = points.clone().flat_map(|(labels, skew)| {
        let cpu = skew.cpu.and_then(|(_, share)| share);
        let connections = skew.connections.map(|(most, all, _)| most as f64 / all as f64);
        [("cpu", cpu), ("connections", connections)]
            .into_iter()
            .filter_map(|(of, share)| Some((with(labels.clone(), [("of", of)]), share?)))
    });
    encoder.write(&BUSIEST_SHARE, shares)?;
    let serving = points.map(|(labels, skew)| (labels.clone(), skew.connections.map_or(0, |(.., threads)| threads)));
    encoder.write(&SERVING, serving)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_thread_counts() {
        let thread = |millis, connections| ThreadUse {
            cpu: Some(Duration::from_millis(millis)),
            connections,
        };
        let skew = Skew::of(
            &[thread(900, 1), thread(100, 3), thread(0, 0)],
            Some(Duration::from_secs(1)),
        );
        assert_eq!(skew.cpu, Some((0.9, Some(0.9))));
        assert_eq!(skew.connections, Some((3, 4, 2)));
        let idle = Skew::of(&[thread(0, 0)], Some(Duration::from_secs(1)));
        assert_eq!((idle.cpu, idle.connections), (Some((0.0, None)), None));
        assert_eq!(Skew::of(&[thread(5, 0)], None).cpu, None, "the first reading");
        assert_eq!(Skew::of(&[], Some(Duration::from_secs(1))), Skew::NONE);
    }
}
