//! How reports name workloads and points.

use crate::cli::prometheus::Sample;

/// A workload or a point, as reports name it: `<namespace>/<name>`, after `<cluster>:` where there are several clusters.
pub type Name = String;

/// The node of the agent, or its target where it has no such label.
pub fn node(sample: &Sample) -> &str {
    match sample.label("node") {
        "" => sample.label("instance"),
        node => node,
    }
}

/// A name, after that of the cluster where there are several.
pub fn within(sample: &Sample, name: &str) -> Name {
    match sample.label("cluster") {
        "" => name.to_owned(),
        cluster => format!("{cluster}:{name}"),
    }
}

/// The workload that these labels name; without a namespace for `unknown`, `external`, `_other` and `_former`, which are none.
pub fn workload(sample: &Sample, namespace: &str, name: &str) -> Name {
    let (namespace, name) = (sample.label(namespace), sample.label(name));
    if namespace == name && matches!(name, "unknown" | "external" | "_other" | "_former") {
        return name.to_owned();
    }
    within(sample, &format!("{namespace}/{name}"))
}
