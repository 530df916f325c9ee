//! How commands name workloads and points.

use crate::cli::prometheus::Sample;

/// A workload or a point, as commands name it: `<namespace>/<name>`, after `<cluster>:` where there are several clusters.
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

/// The instance of a point: its name, with its pod and node.
pub fn instance_of(sample: &Sample) -> Name {
    let point = within(sample, sample.label("point"));
    let instance = format!("{point} ({})", sample.label("instance_pod"));
    match node(sample) {
        "" => instance,
        node => format!("{instance} on {node}"),
    }
}

/// The workload that these labels name, after its cluster where there are several.
pub fn workload(sample: &Sample, namespace: &str, name: &str) -> Name {
    let name = in_cluster(sample, namespace, name);
    match name.contains('/') {
        true => within(sample, &name),
        false => name,
    }
}

/// The workload that these labels name, where all are of one cluster; without a namespace for `unknown`, `external`, `_other` and
/// `_former`, which are none.
pub fn in_cluster(sample: &Sample, namespace: &str, name: &str) -> Name {
    let (namespace, name) = (sample.label(namespace), sample.label(name));
    if namespace == name && matches!(name, "unknown" | "external" | "_other" | "_former") {
        return name.to_owned();
    }
    format!("{namespace}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::prometheus::parse;

    #[test]
    fn a_workload_may_have_the_name_of_its_namespace() {
        let named = |labels: &str| {
            let samples = parse(&format!("narrows_x{{{labels}}} 1\n"));
            let names = [in_cluster, workload].map(|name| name(&samples[0], "namespace", "workload"));
            names.join(" and ")
        };
        assert_eq!(
            named(r#"cluster="east",namespace="grafana",workload="grafana""#),
            "grafana/grafana and east:grafana/grafana"
        );
        assert_eq!(
            named(r#"cluster="east",namespace="unknown",workload="unknown""#),
            "unknown and unknown"
        );
        assert_eq!(
            named(r#"namespace="shop",workload="unknown""#),
            "shop/unknown and shop/unknown"
        );
    }
}
