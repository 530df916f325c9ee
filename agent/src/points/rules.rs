//! Recognition of points by their pods, containers or processes. The rules are data, in `rules.yaml` and in the user's
//! configuration.

use super::{Kind, Mesh, Point, pattern::fits};
use crate::yaml::{self, FileError};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// One rule; see `rules.yaml`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name of the executable file of one of its processes.
    #[serde(default)]
    pub process: Option<String>,
    /// Name of its container; `*` stands for any characters.
    #[serde(default)]
    pub container: Option<String>,
    /// Name of its pod's workload; `*` as above.
    #[serde(default)]
    pub workload: Option<String>,
    /// Labels of its pod, with the value that each must have; `*` as above.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations of its pod, in the same way.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Words that must all be among the arguments: those of the process when one is named, else those of the container.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The kind of the point.
    pub kind: Kind,
    /// The mesh that the point belongs to.
    #[serde(default)]
    pub mesh: Mesh,
    /// Its `<namespace>/<name>`; `{namespace}`, `{workload}` and `{<name of a label>}` are filled in.
    pub point: Option<String>,
}

/// A running process: what rules can match.
#[derive(Clone, Debug)]
pub struct Process {
    /// Name of its executable file.
    pub executable: String,
    /// Its arguments, without the first one (`argv[0]`).
    pub arguments: Vec<String>,
}

/// A pod: what rules can match.
#[derive(Clone, Debug, Default)]
pub struct PodFacts {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the pod.
    pub name: String,
    /// The name of its workload.
    pub workload: String,
    /// The labels of the pod.
    pub labels: BTreeMap<String, String>,
    /// The annotations of the pod.
    pub annotations: BTreeMap<String, String>,
    /// Its containers, each with its command and arguments.
    pub containers: BTreeMap<String, Vec<String>>,
}

/// All rules, the user's first.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// The built-in rules after those of the user.
    ///
    /// # Errors
    /// When the built-in table is invalid.
    pub fn new(mut own: Vec<Rule>) -> Result<Self, FileError> {
        let built_in: Vec<Rule> = yaml::parse(Path::new("points/rules.yaml"), include_str!("rules.yaml"))?;
        own.extend(built_in);
        Ok(Self(own))
    }

    /// The point that a cgroup with these processes is, if it is one. For cgroups outside of pods.
    pub fn host(&self, cgroup: &str, processes: &[Process]) -> Option<Point> {
        let rule = self.0.iter().find(|rule| {
            rule.container.is_none()
                && rule.workload.is_none()
                && rule.labels.is_empty()
                && rule.annotations.is_empty()
                && rule.process_matches(processes).unwrap_or(false)
        })?;
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

    /// The point that a container of a pod is, if it is one. `processes` are those of the container, which are known on this node
    /// only.
    pub fn container(&self, pod: &PodFacts, container: &str, processes: &[Process]) -> Option<Point> {
        let rule = self.0.iter().find(|rule| rule.matches(pod, container, processes))?;
        let name = rule.point.as_deref().unwrap_or("{namespace}/{workload}");
        Some(Point {
            name: fill_in(name, pod),
            kind: rule.kind,
            mesh: rule.mesh,
            instance: pod.name.clone(),
        })
    }

    /// The point that a whole pod is: one whose containers carry other workloads' traffic. A sidecar is not such a point, as its
    /// pod belongs to the workload.
    pub fn pod(&self, pod: &PodFacts) -> Option<Point> {
        pod.containers
            .keys()
            .filter_map(|container| self.container(pod, container, &[]))
            .find(|point| point.kind != Kind::Sidecar)
    }
}

impl Rule {
    /// Checks that the rule has at least one condition.
    ///
    /// # Errors
    /// A sentence that names the fields.
    pub fn validate(&self) -> Result<(), String> {
        let names = [&self.process, &self.container, &self.workload];
        if names.into_iter().all(Option::is_none) && self.labels.is_empty() && self.annotations.is_empty() {
            return Err("needs process, container, workload, labels or annotations".to_owned());
        }
        Ok(())
    }

    fn matches(&self, pod: &PodFacts, container: &str, processes: &[Process]) -> bool {
        self.container.as_deref().is_none_or(|name| fits(name, container))
            && self.workload.as_deref().is_none_or(|name| fits(name, &pod.workload))
            && all_there(&self.labels, &pod.labels)
            && all_there(&self.annotations, &pod.annotations)
            && self.process_matches(processes).unwrap_or_else(|| {
                let arguments = pod.containers.get(container).map_or(&[][..], Vec::as_slice);
                self.arguments.iter().all(|word| arguments.contains(word))
            })
    }

    /// Whether one of the processes matches; `None` if the rule has no condition for processes.
    fn process_matches(&self, processes: &[Process]) -> Option<bool> {
        let executable = self.process.as_deref()?;
        Some(processes.iter().any(|process| {
            process.executable == executable && self.arguments.iter().all(|word| process.arguments.contains(word))
        }))
    }
}

fn all_there(wanted: &BTreeMap<String, String>, there: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(name, value)| there.get(name).is_some_and(|found| fits(value, found)))
}

/// Replaces placeholders in braces. A label that the pod lacks is replaced by the name of its workload.
fn fill_in(template: &str, pod: &PodFacts) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, end)) = after.split_once('}') else {
            break;
        };
        text.push_str(before);
        text.push_str(match name {
            "namespace" => &pod.namespace,
            "workload" => &pod.workload,
            label => pod.labels.get(label).unwrap_or(&pod.workload),
        });
        rest = end;
    }
    text.push_str(rest);
    text
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

    fn built_in() -> Rules {
        Rules::new(Vec::new()).expect("the built-in table is valid")
    }

    fn rule(yaml: &str) -> Rule {
        yaml::parse(Path::new("rule.yaml"), yaml).expect("a rule")
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn errors_in_the_table_of_rules_would_be_found() {
        assert!(yaml::parse::<Vec<Rule>>(Path::new("x"), "- { process: a, kind: b }").is_err());
    }

    #[test]
    fn every_process_of_the_table_is_recognised() {
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
            let point = built_in()
                .host("/a.slice/b.scope", &[process("pause"), process(line)])
                .expect(line);
            assert_eq!((point.kind, point.mesh), (kind, mesh), "{line}");
            // Also in a pod whose labels and containers match no rule.
            let pod = PodFacts {
                namespace: "shop".into(),
                name: "web-1".into(),
                workload: "web".into(),
                ..PodFacts::default()
            };
            let point = built_in().container(&pod, "proxy", &[process(line)]).expect(line);
            assert_eq!((point.kind, point.instance.as_str()), (kind, "web-1"), "{line}");
        }
        for line in ["nginx", "ztunnel", "pilot-agent request", "envoy -c x"] {
            assert_eq!(built_in().host("/a", &[process(line)]), None, "{line}");
        }
    }

    #[test]
    fn the_users_rules_come_first() {
        let own = rule("{ process: linkerd2-proxy, kind: node_proxy, point: edge/proxy }");
        let rules = Rules::new(vec![own]).expect("valid");
        let point = rules.host("/a/b", &[process("linkerd2-proxy")]).expect("recognised");
        assert_eq!(
            (point.name.as_str(), point.kind, point.instance.as_str()),
            ("edge/proxy", Kind::NodeProxy, "b")
        );
    }

    #[test]
    fn a_rule_of_ones_own_names_a_point_by_its_labels() {
        let own = rule(
            "{ container: proxy, labels: { app: edge, tier: '*' }, arguments: [-x], kind: egress_gateway, \
             point: '{namespace}/{team}-{workload}' }",
        );
        let rules = Rules::new(vec![own]).expect("valid");
        let mut pod = PodFacts {
            namespace: "net".into(),
            name: "edge-1".into(),
            workload: "edge".into(),
            labels: map(&[("app", "edge"), ("tier", ""), ("team", "blue")]),
            containers: [("proxy".to_owned(), vec!["run".to_owned(), "-x".to_owned()])].into(),
            ..PodFacts::default()
        };
        let point = rules.pod(&pod).expect("recognised");
        assert_eq!(
            (point.name.as_str(), point.kind),
            ("net/blue-edge", Kind::EgressGateway)
        );
        pod.labels.remove("team");
        assert_eq!(rules.pod(&pod).expect("recognised").name, "net/edge-edge");
        pod.containers.insert("proxy".into(), vec![]);
        assert_eq!(rules.pod(&pod), None, "an argument is missing");
        pod.containers = [("other".to_owned(), vec!["-x".to_owned()])].into();
        assert_eq!(rules.pod(&pod), None, "another container");
    }

    /// A pod with one container that has the name and the arguments of Istio's ztunnel.
    fn ztunnel(namespace: &str, workload: &str, labels: &[(&str, &str)]) -> PodFacts {
        PodFacts {
            namespace: namespace.into(),
            name: format!("{workload}-x"),
            workload: workload.into(),
            labels: map(labels),
            containers: [("istio-proxy".to_owned(), vec!["proxy".to_owned(), "ztunnel".to_owned()])].into(),
            ..PodFacts::default()
        }
    }

    #[test]
    fn two_meshes_ztunnels_are_told_apart_by_their_daemon_set() {
        for (pod, mesh, name) in [
            (
                ztunnel("istio-system", "ztunnel", &[("app", "ztunnel")]),
                Mesh::Istio,
                "istio-system/ztunnel",
            ),
            (
                ztunnel("kube-system", "ztunnel-cilium", &[("app", "ztunnel-cilium")]),
                Mesh::Cilium,
                "kube-system/ztunnel-cilium",
            ),
            // The labels of the first version.
            (
                ztunnel("cilium", "ztunnel-cilium", &[("app", "ztunnel")]),
                Mesh::Cilium,
                "cilium/ztunnel-cilium",
            ),
        ] {
            let point = built_in().pod(&pod).expect("recognised");
            assert_eq!(
                (point.kind, point.mesh, point.name.as_str()),
                (Kind::Ztunnel, mesh, name)
            );
        }
    }

    #[test]
    fn istios_proxies_are_known_under_another_name_of_their_class() {
        for (managed, kind) in [
            ("istio.io-mesh-controller", Kind::Waypoint),
            ("istio.io-eastwest-controller", Kind::EastWestGateway),
            ("istio.io-gateway-controller", Kind::IngressGateway),
        ] {
            let arguments = [
                "proxy",
                if kind == Kind::IngressGateway {
                    "router"
                } else {
                    "waypoint"
                },
            ];
            let pod = PodFacts {
                namespace: "shop".into(),
                workload: "edge-of-a-class".into(),
                labels: map(&[
                    ("gateway.istio.io/managed", managed),
                    ("gateway.networking.k8s.io/gateway-class-name", "a-class"),
                    ("gateway.networking.k8s.io/gateway-name", "edge"),
                ]),
                containers: [("istio-proxy".to_owned(), arguments.map(str::to_owned).to_vec())].into(),
                ..PodFacts::default()
            };
            let point = built_in().pod(&pod).expect("recognised");
            assert_eq!((point.kind, point.name.as_str()), (kind, "shop/edge"), "{managed}");
        }
    }

    #[test]
    fn a_rule_says_whom_it_is_about() {
        assert!(rule("{ kind: waypoint, arguments: [x] }").validate().is_err());
        assert!(rule("{ kind: waypoint, labels: { a: b } }").validate().is_ok());
        let named = rule("{ kind: waypoint, workload: a-* }");
        assert!(named.validate().is_ok());
        let rules = Rules::new(vec![named]).expect("valid");
        assert_eq!(rules.host("/a-b", &[process("a-b")]), None, "no pod, so no workload");
    }

    #[test]
    fn what_is_not_to_be_filled_in_stays() {
        let pod = PodFacts::default();
        for text in ["a/b", "a/{b", "}a{", ""] {
            assert_eq!(fill_in(text, &pod), text);
        }
    }
}
