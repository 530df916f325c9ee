//! What the API server is asked, and what it is not.

use crate::{
    common::{binary, cluster::NODE},
    shop::{Shop, remote},
};
use narrows_testbed::{
    command,
    kubernetes::{Asked, Resource, Verb, manifests},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, process::Command};

/// A permission: verb, resource, and the namespace and the name that it is limited to.
type Permission = (String, String, Option<String>, Option<String>);

/// All permissions that the manifests give to the agent.
fn allowed() -> BTreeSet<Permission> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut allowed = BTreeSet::new();
    for file in ["rbac.yaml", "components/istio-trust-domain/role.yaml"] {
        let file = format!("{}/../deploy/kubernetes/{file}", env!("CARGO_MANIFEST_DIR"));
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&fs::read_to_string(file).expect("the role")).expect("YAML");
        for object in objects
            .iter()
            .filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role")))
        {
            let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
            assert_eq!(namespace.is_none(), object["kind"] == "ClusterRole");
            for rule in object["rules"].as_array().expect("rules") {
                assert_eq!(rule["apiGroups"], json!([""]));
                let names = match rule["resourceNames"].as_array() {
                    Some(names) => names.iter().map(|name| Some(text(name))).collect(),
                    None => vec![None],
                };
                for (resource, verb, name) in product(&rule["resources"], &rule["verbs"], &names) {
                    allowed.insert((text(verb), text(resource), namespace.clone(), name.clone()));
                }
            }
        }
    }
    allowed
}

fn product<'a>(
    resources: &'a Value,
    verbs: &'a Value,
    names: &'a [Option<String>],
) -> impl Iterator<Item = (&'a Value, &'a Value, &'a Option<String>)> {
    let list = |value: &'a Value| value.as_array().expect("a list");
    list(resources).iter().flat_map(move |resource| {
        let pairs = list(verbs).iter().map(move |verb| (resource, verb));
        pairs.flat_map(move |(resource, verb)| names.iter().map(move |name| (resource, verb, name)))
    })
}

/// The permission that a request needs.
fn needed(request: &Asked) -> Permission {
    assert_eq!(request.status, Some(200), "{request:?}");
    let (Some(verb), Some(resource)) = (request.verb, request.resource) else {
        panic!("neither get, list nor watch of a resource: {request:?}");
    };
    // As an API server takes the name from it (`NewRequestInfo`).
    let selected = request.field_selector.as_deref();
    let name = selected.and_then(|selector| selector.strip_prefix("metadata.name="));
    let name = request.name.as_deref().or(name).map(str::to_owned);
    (
        verb.name().to_owned(),
        resource.plural().to_owned(),
        request.namespace.clone(),
        name,
    )
}

#[test]
fn everything_that_the_role_allows_is_needed_and_nothing_else() {
    let shop = Shop::open_with(&["--mesh-config-map", "istio-system/istio"], "", |cluster| {
        let map = json!({ "metadata": { "namespace": "istio-system", "name": "istio" }, "data": { "mesh": "" } });
        cluster.api.put(Resource::ConfigMaps, map);
    });
    shop.synced();
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
    let mut check = Command::new(binary());
    check.args([
        "check",
        "--kubernetes",
        "on",
        "--node",
        NODE,
        "--mesh-config-map",
        "istio-system/istio",
    ]);
    check.env("KUBECONFIG", shop.cluster.api.kubeconfig());
    let output = command::output(&mut check).expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    let asked: BTreeSet<_> = shop.cluster.api.asked().iter().map(needed).collect();
    assert_eq!(asked, allowed());
}

#[test]
fn every_request_says_who_asks_and_takes_compressed_answers() {
    let shop = Shop::open();
    shop.sells(5);
    let expected = concat!("narrows/", env!("CARGO_PKG_VERSION"));
    for asked in shop.cluster.api.asked() {
        assert_eq!(asked.user_agent.as_deref(), Some(expected), "{asked:?}");
        assert!(asked.gzip, "{asked:?}");
        // Of namespaces, nothing else is read.
        let is_reduced = asked
            .accept
            .as_deref()
            .is_some_and(|accept| accept.contains("as=PartialObjectMetadata"));
        assert_eq!(is_reduced, asked.resource == Some(Resource::Namespaces), "{asked:?}");
    }
}

#[test]
fn lists_are_read_in_pages_and_this_nodes_pods_from_memory() {
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
    let (mut own, mut others) = (0, 0);
    for list in asked.iter().filter(|asked| asked.verb == Some(Verb::List)) {
        let version = (list.resource_version.as_deref(), list.version_match.as_deref());
        if list.field_selector.as_deref() == Some("spec.nodeName=worker-1") {
            assert_eq!(
                (version, list.limit),
                ((Some("0"), Some("NotOlderThan")), None),
                "{list:?}"
            );
            own += 1;
        } else {
            // A version would have it answered from memory, in one piece.
            assert_eq!((version, list.limit), ((None, None), Some(500)), "{list:?}");
            others += 1;
        }
    }
    assert_eq!((own, others), (1, 3 + 2 + 2));
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
fn an_old_api_server_understands_every_request() {
    let shop = Shop::open_with(&[], "", |cluster| cluster.api.is_version(30));
    shop.synced();
    shop.cluster.api.expire_watches();
    shop.awaits("everything to be listed again", || {
        shop.lists().iter().all(|lists| *lists == 2.0).then_some(())
    });
    shop.synced();
    shop.sells(5);
    let refused: Vec<_> = shop
        .cluster
        .api
        .asked()
        .into_iter()
        .filter(|asked| asked.status != Some(200))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
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
