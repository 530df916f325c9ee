//! What the API server is asked, and what it is not.

use crate::shop::{Shop, remote};
use narrows_testbed::kubernetes::{Resource, Verb, manifests};
use serde_json::Value;
use std::{collections::BTreeSet, fs};

/// Resources and verbs of the agent's role. Who may list may see each object, so `get` allows nothing beside it.
fn allowed() -> BTreeSet<(String, String)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kubernetes/rbac.yaml");
    let text = fs::read_to_string(file).expect("the role");
    let mut allowed = BTreeSet::new();
    for document in text.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document).expect("YAML");
        for rule in object["rules"].as_array().into_iter().flatten() {
            assert_eq!(rule["apiGroups"], serde_json::json!([""]));
            assert!(rule["resourceNames"].is_null());
            for resource in rule["resources"].as_array().expect("a list") {
                for verb in rule["verbs"].as_array().expect("a list") {
                    let text = |value: &Value| value.as_str().expect("a text").to_owned();
                    if verb != "get" {
                        allowed.insert((text(resource), text(verb)));
                    }
                }
            }
        }
    }
    allowed
}

#[test]
fn everything_that_the_role_allows_is_needed_and_nothing_else() {
    let shop = Shop::open();
    shop.sells(5);
    let late = shop.hire("late", 12);
    shop.knows("late", &late);
    shop.cluster.api.expire_watches();
    shop.awaits("everything to be listed again", || {
        shop.lists().iter().all(|lists| *lists == 2.0).then_some(())
    });
    shop.cluster.api.drop_watches();
    shop.synced();
    shop.cluster.api.delete(Resource::Pods, "shop", "late-6d7f8b9c5-ccccc");
    shop.sells(5);

    let allowed = allowed();
    let mut asked = BTreeSet::new();
    for request in shop.cluster.api.asked() {
        assert_eq!(request.status, Some(200), "{request:?}");
        let (Some(verb), Some(resource)) = (request.verb, request.resource) else {
            panic!("neither get, list nor watch of a resource: {request:?}");
        };
        asked.insert((resource.plural().to_owned(), verb.name().to_owned()));
    }
    assert_eq!(asked, allowed);
}

#[test]
fn every_list_is_read_in_pages() {
    let shop = Shop::open_with(&[], "", |cluster| {
        let pods = (0..1_001).map(|n| {
            let address = format!("10.91.{}.{}", n / 250, n % 250 + 1);
            remote("many", &format!("many-{n}"), &address).into_value()
        });
        cluster.api.put_all(Resource::Pods, pods);
        let namespaces = (0..501).map(|n| manifests::namespace(&format!("n-{n}"), &[]));
        cluster.api.put_all(Resource::Namespaces, namespaces);
    });
    shop.synced();
    let asked = shop.cluster.api.asked();
    for list in asked.iter().filter(|asked| asked.verb == Some(Verb::List)) {
        assert_eq!(list.limit, Some(500), "{list:?}");
        // A version would have it answered from a cache, in one piece.
        assert_eq!(list.resource_version, None, "{list:?}");
    }
    let further = |resource| {
        let lists = shop.asked(Verb::List, resource);
        lists.iter().filter(|list| list.continued).count()
    };
    assert_eq!((further(Resource::Pods), further(Resource::Namespaces)), (2, 1));
    assert_eq!(shop.objects("cluster_pods"), 1_001.0);
    assert_eq!(shop.objects("namespaces"), 504.0);
    assert_eq!(shop.objects("node_pods"), 2.0);
}

#[test]
fn a_watch_goes_on_where_the_list_or_the_last_bookmark_was() {
    let shop = Shop::open();
    let api = &shop.cluster.api;
    let versions = || {
        let watches = shop.asked(Verb::Watch, Resource::Namespaces);
        let versions = watches.iter().map(|watch| watch.resource_version.clone());
        versions
            .map(|version| version.expect("a version").parse::<u64>().expect("a number"))
            .collect::<Vec<_>>()
    };
    let first = shop.awaits("the namespaces to be watched", || versions().last().copied());
    assert!(first > 1, "{first}");
    // The history of everything moves on, that of the namespaces does not.
    for n in 0..10 {
        let data = serde_json::json!({ "metadata": { "name": "beside", "namespace": "default" }, "data": { "n": n.to_string() } });
        api.put(Resource::ConfigMaps, data);
    }
    let contact = shop.figure("narrows_identity_age_seconds", "namespaces");
    api.bookmark();
    shop.agent.wait_for("a word about the namespaces", |metrics| {
        crate::shop::figure(metrics, "narrows_identity_age_seconds", "namespaces") < contact
    });
    api.drop_watches();
    let second = shop.awaits("the namespaces to be watched again", || versions().get(1).copied());
    assert!(second >= first + 10, "{first}, then {second}");
    shop.synced();
    assert_eq!(shop.lists(), [1.0; 5]);
}
