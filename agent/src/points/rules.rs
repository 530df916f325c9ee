//! Recognising a point by its processes: rules are data, in `rules.yaml` and in the user's configuration.

use super::{Kind, Mesh, Point};
use crate::yaml::{self, FileError};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One rule; see `rules.yaml`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name of the executable file.
    pub process: String,
    /// Words that must all be among the arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// What the point is.
    pub kind: Kind,
    /// Whose it is.
    #[serde(default)]
    pub mesh: Mesh,
    /// Its `<namespace>/<name>`.
    pub point: Option<String>,
}

/// A running process, as far as rules look at it.
#[derive(Clone, Debug)]
pub struct Process {
    /// Name of its executable file.
    pub executable: String,
    /// Its arguments, without the first.
    pub arguments: Vec<String>,
}

/// All rules, the user's first.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// The built-in rules after those of the user.
    ///
    /// # Errors
    /// When the built-in table is broken.
    pub fn new(mut own: Vec<Rule>) -> Result<Self, FileError> {
        let built_in: Vec<Rule> = yaml::parse(Path::new("points/rules.yaml"), include_str!("rules.yaml"))?;
        own.extend(built_in);
        Ok(Self(own))
    }

    /// The point that a cgroup with these processes is, if it is one.
    pub fn recognise(&self, cgroup: &str, processes: &[Process]) -> Option<Point> {
        let rule = self
            .0
            .iter()
            .find(|rule| processes.iter().any(|process| rule.matches(process)))?;
        let unit = cgroup
            .rsplit('/')
            .find(|part| !part.is_empty())
            .unwrap_or("root")
            .to_owned();
        Some(Point {
            name: rule.point.clone().unwrap_or_else(|| format!("host/{unit}")),
            kind: rule.kind,
            mesh: rule.mesh,
            instance: unit,
        })
    }
}

impl Rule {
    fn matches(&self, process: &Process) -> bool {
        process.executable == self.process && self.arguments.iter().all(|word| process.arguments.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(line: &str) -> Process {
        let mut words = line.split(' ').map(str::to_owned);
        Process {
            executable: words.next().unwrap_or_default(),
            arguments: words.collect(),
        }
    }

    #[test]
    fn every_built_in_rule_recognises_its_process() {
        let rules = Rules::new(Vec::new()).expect("the built-in table is valid");
        for (line, kind, mesh) in [
            ("ztunnel proxy ztunnel", Kind::Ztunnel, Mesh::Istio),
            ("pilot-agent proxy waypoint --domain x", Kind::Waypoint, Mesh::Istio),
            ("pilot-agent proxy sidecar --domain x", Kind::Sidecar, Mesh::Istio),
            ("pilot-agent proxy router", Kind::IngressGateway, Mesh::Istio),
            ("agentgateway -f config", Kind::Waypoint, Mesh::Istio),
            ("kuma-dp run --proxy-type=ingress", Kind::ZoneIngress, Mesh::Kuma),
            ("kuma-dp run --proxy-type=egress", Kind::ZoneEgress, Mesh::Kuma),
            ("kuma-dp run", Kind::Sidecar, Mesh::Kuma),
            ("linkerd2-proxy", Kind::Sidecar, Mesh::Linkerd),
            ("cilium-envoy -c x", Kind::NodeProxy, Mesh::Cilium),
            ("consul-dataplane", Kind::Sidecar, Mesh::Consul),
        ] {
            let point = rules
                .recognise("/a.slice/b.scope", &[process("pause"), process(line)])
                .expect(line);
            assert_eq!((point.kind, point.mesh), (kind, mesh), "{line}");
        }
        for line in ["nginx", "ztunnel", "pilot-agent request", "envoy -c x"] {
            assert_eq!(rules.recognise("/a", &[process(line)]), None, "{line}");
        }
    }

    #[test]
    fn the_users_rules_come_first() {
        let own = Rule {
            process: "linkerd2-proxy".into(),
            arguments: vec![],
            kind: Kind::NodeProxy,
            mesh: Mesh::None,
            point: Some("edge/proxy".into()),
        };
        let rules = Rules::new(vec![own]).expect("valid");
        let point = rules
            .recognise("/a/b", &[process("linkerd2-proxy")])
            .expect("recognised");
        assert_eq!(
            (point.name.as_str(), point.kind, point.instance.as_str()),
            ("edge/proxy", Kind::NodeProxy, "b")
        );
    }
}
