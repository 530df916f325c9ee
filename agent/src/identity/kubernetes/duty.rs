//! Workloads with a duty for their mesh or cluster, by the labels that their charts and operators set: scrapers and control planes,
//! which call pods past their points.

use crate::{identity::Duty, points::Mesh};

/// A label of a pod: name and value (`None` stands for any).
type Label = (&'static str, Option<&'static str>);

const ISTIO: Duty = Duty::ControlPlane(Some(Mesh::Istio));
const KUMA: Duty = Duty::ControlPlane(Some(Mesh::Kuma));
const LINKERD: Duty = Duty::ControlPlane(Some(Mesh::Linkerd));
const CILIUM: Duty = Duty::ControlPlane(Some(Mesh::Cilium));
const CONSUL: Duty = Duty::ControlPlane(Some(Mesh::Consul));

/// Labels that a pod has all of, with the duty that they tell.
const LABELS: [(&[Label], Duty); 19] = [
    // prometheus-operator, the charts prometheus and kube-prometheus-stack
    // (https://github.com/prometheus-operator/prometheus-operator, pkg/prometheus: podLabels).
    (&[("app.kubernetes.io/name", Some("prometheus"))], Duty::Scraper),
    (&[("app.kubernetes.io/name", Some("prometheus-agent"))], Duty::Scraper),
    // VictoriaMetrics: its operator (https://github.com/VictoriaMetrics/operator, VMAgent.SelectorLabels), and its charts
    // (https://github.com/VictoriaMetrics/helm-charts). A single node scrapes by itself.
    (&[("app.kubernetes.io/name", Some("vmagent"))], Duty::Scraper),
    (&[("app.kubernetes.io/name", Some("vmsingle"))], Duty::Scraper),
    (
        &[("app.kubernetes.io/name", Some("victoria-metrics-agent"))],
        Duty::Scraper,
    ),
    (
        &[("app.kubernetes.io/name", Some("victoria-metrics-single"))],
        Duty::Scraper,
    ),
    // OpenTelemetry: its operator (https://github.com/open-telemetry/opentelemetry-operator, manifestutils.SelectorLabels), and its
    // chart (https://github.com/open-telemetry/opentelemetry-helm-charts).
    (
        &[("app.kubernetes.io/component", Some("opentelemetry-collector"))],
        Duty::Scraper,
    ),
    (
        &[("app.kubernetes.io/name", Some("opentelemetry-collector"))],
        Duty::Scraper,
    ),
    // Grafana Alloy and its predecessor (https://github.com/grafana/alloy, operations/helm).
    (&[("app.kubernetes.io/name", Some("alloy"))], Duty::Scraper),
    (&[("app.kubernetes.io/name", Some("grafana-agent"))], Duty::Scraper),
    // istiod (https://github.com/istio/istio, manifests/charts/istio-control/istio-discovery). The service of one in another
    // cluster has the second label alone (remote-istiod-service.yaml).
    (&[("app", Some("istiod"))], ISTIO),
    (&[("app.kubernetes.io/name", Some("istiod"))], ISTIO),
    (&[("istio", Some("pilot"))], ISTIO),
    // Kuma and Kong Mesh (https://github.com/kumahq/kuma, deployments/charts/kuma: kuma.cpLabels).
    (&[("app", Some("kuma-control-plane"))], KUMA),
    (&[("app", Some("kong-mesh-control-plane"))], KUMA),
    // Linkerd: destination, identity, proxy-injector (https://github.com/linkerd/linkerd2, pkg/k8s: ControllerComponentLabel).
    (&[("linkerd.io/control-plane-component", None)], LINKERD),
    // Cilium's operator. Its agent is on the node's network, where no address names it, and cilium-envoy reaches it over a Unix
    // socket (https://github.com/cilium/cilium, install/kubernetes/cilium/files/cilium-envoy: xds-grpc-cilium).
    (&[("io.cilium/app", Some("operator"))], CILIUM),
    // Consul: its injector, and its servers, which have no label of their own kind (https://github.com/hashicorp/consul-k8s,
    // charts/consul/templates/server-statefulset.yaml).
    (&[("component", Some("connect-injector"))], CONSUL),
    (&[("app", Some("consul")), ("component", Some("server"))], CONSUL),
];

/// The duty that labels tell, given the value of each by its name; `None` for an application.
pub fn duty_of<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<Duty> {
    let has = |(name, value): &Label| label(name).is_some_and(|found| value.is_none_or(|value| value == found));
    let told = LABELS.iter().find(|(labels, _)| labels.iter().all(has));
    told.map(|(_, duty)| *duty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn duty(labels: &[(&str, &str)]) -> Option<Duty> {
        let labels: HashMap<_, _> = labels.iter().copied().chain([("team", "platform")]).collect();
        duty_of(|name| labels.get(name).copied())
    }

    #[test]
    fn labels_tell_a_duty() {
        for (labels, expected) in [
            (&[("app.kubernetes.io/name", "prometheus")][..], Some(Duty::Scraper)),
            (&[("app", "istiod")], Some(ISTIO)),
            (&[("app", "kuma-control-plane")], Some(KUMA)),
            (&[("linkerd.io/control-plane-component", "destination")], Some(LINKERD)),
            (&[("linkerd.io/control-plane-component", "identity")], Some(LINKERD)),
            (&[("app", "consul"), ("component", "server")], Some(CONSUL)),
            (&[("app", "consul"), ("component", "ui")], None),
            (&[("app", "checkout"), ("component", "server")], None),
            (&[("app.kubernetes.io/name", "checkout")], None),
            (&[("app", "istio-ingressgateway")], None),
            (&[], None),
        ] {
            assert_eq!(duty(labels), expected, "{labels:?}");
        }
    }
}
