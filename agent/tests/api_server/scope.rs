//! Only this node.

use crate::shop::{Shop, connect_from_afar, remote};
use narrows_testbed::kubernetes::{Resource, Verb};

#[test]
fn only_the_pods_of_this_node_are_asked_for() {
    let settings = "identity: { settle: 0.2, wait: 1 }\n";
    let shop = Shop::open_with(&["--identity-scope", "node"], settings, |cluster| {
        let pod = remote("afar", "afar", "10.90.0.60");
        cluster.api.put(Resource::Pods, pod.into_value());
    });
    shop.synced();
    shop.sells(5);
    connect_from_afar(&shop.cluster.world.workload("afar", 60), 4);
    shop.depends("unknown", 4);
    assert_eq!(shop.depends("afar", 0).series("narrows_pods").count(), 1);
    assert_eq!(shop.agent.metrics().get("narrows_pods", &[]), Some(2.0));

    for verb in [Verb::List, Verb::Watch] {
        let asked = shop.asked(verb, Resource::Pods);
        let node = Some("spec.nodeName=worker-1");
        assert!(
            !asked.is_empty() && asked.iter().all(|asked| asked.field_selector.as_deref() == node),
            "{asked:?}"
        );
    }
    let status = shop.agent.get_json("/api/v1/status");
    assert_eq!(status["kubernetes"]["scope"], "node");
    assert_eq!(status["kubernetes"]["node"], "worker-1");
    assert!(shop.sources().iter().all(|source| source["source"] != "cluster_pods"));
}

#[test]
fn in_the_whole_cluster_no_pod_is_asked_for_twice() {
    let shop = Shop::open_with(&[], "", |cluster| {
        let pod = remote("afar", "afar", "10.90.0.60");
        cluster.api.put(Resource::Pods, pod.into_value());
    });
    shop.synced();
    connect_from_afar(&shop.cluster.world.workload("afar", 60), 4);
    shop.depends("afar", 4);
    let lists = shop.asked(Verb::List, Resource::Pods);
    let mut selectors: Vec<_> = lists.iter().filter_map(|list| list.field_selector.as_deref()).collect();
    selectors.sort_unstable();
    assert_eq!(selectors, ["spec.nodeName!=worker-1", "spec.nodeName=worker-1"]);
    assert_eq!(shop.agent.get_json("/api/v1/status")["kubernetes"]["scope"], "cluster");
}
