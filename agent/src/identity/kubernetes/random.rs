//! Random waits, so that the agents of a cluster do not all ask at the same moment.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// What one list of all pods costs an API server, for each pod: measured, 2.1 s for 20,000 pods in pages, compressed.
const COST: Duration = Duration::from_micros(105);

/// How many CPUs of the API server the agents may take together when all of them list all pods again.
const CPUS: u32 = 4;

/// The upper bound of the delay. Pods of other nodes that start meanwhile are unknown until the list is read.
pub const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// The pods that a kubelet allows by default; with it the number of nodes is estimated where nodes cannot be listed.
const PODS_OF_A_NODE: usize = 110;

/// A source of numbers from 0 to 1; tests have their own.
pub type Random = fn() -> f64;

/// A fresh number from 0 to 1: `RandomState` has random keys.
pub fn random() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

/// How long an agent waits before it lists all pods again, `part` (from 0 to 1) of the longest delay. After a restart of the API
/// server all agents lose their watches at the same moment; the delay grows with what their lists cost together, so that they take
/// [`CPUS`] of the API server: 26 µs for each pod and node, 262 s for 20,000 pods on 500 nodes.
pub fn delay(pods: usize, nodes: usize, part: f64) -> Duration {
    let agents = nodes.max(pods / PODS_OF_A_NODE) as f64;
    let longest = COST.as_secs_f64() * pods as f64 * agents / f64::from(CPUS);
    Duration::from_secs_f64(longest.min(LONGEST_DELAY.as_secs_f64()) * part.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_grows_with_the_cluster_up_to_its_bound() {
        let seconds = |pods, nodes, part| delay(pods, nodes, part).as_secs_f64();
        assert_eq!(seconds(0, 0, 1.0), 0.0);
        assert!(seconds(300, 10, 1.0) < 0.1, "a small cluster does not wait");
        assert!((seconds(4_000, 100, 1.0) - 10.5).abs() < 1e-6);
        assert!((seconds(4_000, 100, 0.5) - 5.25).abs() < 1e-6);
        assert!((seconds(20_000, 500, 1.0) - 262.5).abs() < 1e-6);
        assert_eq!(delay(100_000, 5_000, 1.0), LONGEST_DELAY);
        assert_eq!(delay(100_000, 5_000, 0.0), Duration::ZERO);
    }

    #[test]
    fn without_nodes_their_number_is_estimated() {
        assert_eq!(delay(11_000, 0, 1.0), delay(11_000, 100, 1.0));
    }

    #[test]
    fn numbers_are_from_0_to_1_and_differ() {
        let numbers: Vec<f64> = (0..100).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)), "{numbers:?}");
        assert!(numbers.iter().any(|number| *number != numbers[0]));
    }
}
