//! Which instances of points have had no connection to a control plane of their mesh.
//!
//! The condition is that of the alert NarrowsPointsWithoutControlPlane: an instance that has exchanged one control plane for another is
//! connected, and one that is being terminated or has ended needs none.

use super::{block::NOT_KNOWN, facts};
use crate::cli::{
    name::{Name, instance_of, workload},
    prometheus::Sample,
};
use std::collections::{BTreeMap, BTreeSet};

/// Proxies come back by themselves within this time, in seconds; the alert waits for as long.
const PATIENCE: f64 = 300.0;

/// What tells instances apart.
type Instance = [String; 5];

/// The instances that had none for more than five minutes at some time, by the recording rules; without these, those that have none now.
/// With the control planes of their mesh.
pub fn cut_off(samples: &[Sample], rules: bool) -> BTreeSet<(Name, Name)> {
    let of = |series| samples.iter().filter(move |sample| sample.series == series);
    let mut known = BTreeMap::<[&str; 2], BTreeSet<Name>>::new();
    let mut open = BTreeMap::<Instance, (f64, &Sample)>::new();
    for sample in of(facts::CONTROL_PLANE) {
        let name = workload(sample, "destination_workload_namespace", "destination_workload");
        known.entry(mesh(sample)).or_default().insert(name);
        open.entry(instance(sample)).or_insert((0.0, sample)).0 += sample.value;
    }
    let ended = of(facts::PROCESSES).filter(|sample| sample.value == 0.0);
    let going = of(facts::DRAIN_START).filter(|sample| sample.label("cause") == "terminating");
    let excused: BTreeSet<_> = ended.chain(going).map(instance).collect();
    let cut_off: Vec<&Sample> = if rules {
        let long = of(facts::WITHOUT_CONTROL_PLANE).filter(|sample| sample.value > PATIENCE);
        long.collect()
    } else {
        let without = open
            .iter()
            .filter(|(instance, (n, _))| *n == 0.0 && !excused.contains(*instance));
        without.map(|(_, (_, sample))| *sample).collect()
    };
    let row = |sample: &Sample| {
        let control_planes = known.get(&mesh(sample)).map(|names| {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            names.join(", ")
        });
        (
            instance_of(sample),
            control_planes.unwrap_or_else(|| NOT_KNOWN.to_owned()),
        )
    };
    cut_off.into_iter().map(row).collect()
}

fn mesh(sample: &Sample) -> [&str; 2] {
    ["cluster", "mesh"].map(|label| sample.label(label))
}

fn instance(sample: &Sample) -> Instance {
    ["cluster", "instance", "node", "point", "instance_pod"].map(|label| sample.label(label).to_owned())
}
