//! Selects the series of a point.

use super::Sample;

/// Which instances of which point are meant.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The point, as `<namespace>/<name>`.
    pub point: String,
    /// Only its instances on this node.
    pub node: Option<String>,
    /// Only those of this cluster.
    pub cluster: Option<String>,
}

impl Scope {
    /// Whether a series is about it.
    pub fn has(&self, sample: &Sample) -> bool {
        let is_on = |node: &str| [sample.label("node"), sample.label("instance")].contains(&node);
        sample.label("point") == self.point
            && self.node.as_deref().is_none_or(is_on)
            && self
                .cluster
                .as_deref()
                .is_none_or(|cluster| sample.label("cluster") == cluster)
    }

    /// The series of a family, in PromQL, with more label matchers after a comma. An agent's node is the label `node`, or else its target.
    pub fn series(&self, name: &str, more: &str) -> String {
        let quoted = |text: &str| format!("{text:?}");
        let mut labels = format!("point={}{more}", quoted(&self.point));
        if let Some(cluster) = &self.cluster {
            labels.push_str(&format!(",cluster={}", quoted(cluster)));
        }
        match &self.node {
            None => format!("{name}{{{labels}}}"),
            Some(node) => {
                let node = quoted(node);
                format!("({name}{{{labels},node={node}}} or {name}{{{labels},node=\"\",instance={node}}})")
            }
        }
    }
}
