//! Workloads that call pods past their points because it is their duty, by the labels that their charts and operators set.

use crate::identity::Duty;
use std::collections::BTreeMap;

/// Labels of pods with the duty that they tell: name, value (`None` stands for any).
const LABELS: [(&str, Option<&str>, Duty); 18] = [
    // prometheus-operator, the charts prometheus and kube-prometheus-stack
    // (https://github.com/prometheus-operator/prometheus-operator, pkg/prometheus: podLabels).
    ("app.kubernetes.io/name", Some("prometheus"), Duty::Scraper),
    ("app.kubernetes.io/name", Some("prometheus-agent"), Duty::Scraper),
    // VictoriaMetrics: its operator (https://github.com/VictoriaMetrics/operator, VMAgent.SelectorLabels), and its charts
    // (https://github.com/VictoriaMetrics/helm-charts). A single node scrapes by itself.
    ("app.kubernetes.io/name", Some("vmagent"), Duty::Scraper),
    ("app.kubernetes.io/name", Some("vmsingle"), Duty::Scraper),
    ("app.kubernetes.io/name", Some("victoria-metrics-agent"), Duty::Scraper),
    ("app.kubernetes.io/name", Some("victoria-metrics-single"), Duty::Scraper),
    // OpenTelemetry: its operator (https://github.com/open-telemetry/opentelemetry-operator, manifestutils.SelectorLabels), and its
    // chart (https://github.com/open-telemetry/opentelemetry-helm-charts).
    (
        "app.kubernetes.io/component",
        Some("opentelemetry-collector"),
        Duty::Scraper,
    ),
    ("app.kubernetes.io/name", Some("opentelemetry-collector"), Duty::Scraper),
    // Grafana Alloy and its predecessor (https://github.com/grafana/alloy, operations/helm).
    ("app.kubernetes.io/name", Some("alloy"), Duty::Scraper),
    ("app.kubernetes.io/name", Some("grafana-agent"), Duty::Scraper),
    // istiod (https://github.com/istio/istio, manifests/charts/istio-control/istio-discovery).
    ("app", Some("istiod"), Duty::ControlPlane),
    ("app.kubernetes.io/name", Some("istiod"), Duty::ControlPlane),
    ("istio", Some("pilot"), Duty::ControlPlane),
    // Kuma and Kong Mesh (https://github.com/kumahq/kuma, deployments/charts/kuma: kuma.cpLabels).
    ("app", Some("kuma-control-plane"), Duty::ControlPlane),
    ("app", Some("kong-mesh-control-plane"), Duty::ControlPlane),
    // Linkerd: destination, identity, proxy-injector (https://github.com/linkerd/linkerd2, pkg/k8s: ControllerComponentLabel).
    ("linkerd.io/control-plane-component", None, Duty::ControlPlane),
    // Cilium's operator; its agent is on the node's network (https://github.com/cilium/cilium, install/kubernetes/cilium).
    ("io.cilium/app", Some("operator"), Duty::ControlPlane),
    // Consul (https://github.com/hashicorp/consul-k8s, charts/consul). Its servers have no label of their own kind.
    ("component", Some("connect-injector"), Duty::ControlPlane),
];

/// The duty that the labels of a pod tell; `None` for an application.
pub fn duty_of(labels: &BTreeMap<String, String>) -> Option<Duty> {
    let tells = |(name, value, _): &&(&str, Option<&str>, Duty)| {
        labels
            .get(*name)
            .is_some_and(|found| value.is_none_or(|value| value == found))
    };
    LABELS.iter().find(tells).map(|(.., duty)| *duty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duty(name: &str, value: &str) -> Option<Duty> {
        duty_of(&BTreeMap::from([
            ("team".to_owned(), "platform".to_owned()),
            (name.to_owned(), value.to_owned()),
        ]))
    }

    #[test]
    fn labels_tell_a_duty() {
        assert_eq!(duty("app.kubernetes.io/name", "prometheus"), Some(Duty::Scraper));
        assert_eq!(duty("app", "istiod"), Some(Duty::ControlPlane));
        assert_eq!(
            duty("linkerd.io/control-plane-component", "destination"),
            Some(Duty::ControlPlane)
        );
        assert_eq!(duty("app.kubernetes.io/name", "checkout"), None);
        assert_eq!(duty("app", "istio-ingressgateway"), None);
        assert_eq!(duty_of(&BTreeMap::new()), None);
    }
}
