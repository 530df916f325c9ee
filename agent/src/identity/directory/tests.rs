use super::{
    super::{Identity, Inventory, owners::Named},
    *,
};
use crate::{
    identity::kubernetes::{LocalPod, Meshes, Setup, Shared, Source, objects::Pod},
    networks::Networks,
    points::Rules,
};
use narrows_testbed::kubernetes::manifests::Pod as Manifest;
use std::time::Instant;

const HOST: u32 = 4_026_531_840;
const CONTAINER: u64 = 1 << 40;
const SPAN: Span = Span {
    from: 1_900_000_000_000,
    to: 1_900_000_000_001,
};

fn key(cgroup: u64, netns: u32, peer: &str) -> FlowKey {
    let peer: IpAddr = peer.parse().expect("an address");
    let octets = match peer {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(octets.chunks_exact(4)) {
        *word = u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
    }
    FlowKey {
        cgroup,
        netns,
        peer: words,
        ..FlowKey::default()
    }
}

/// A node that knows only an inventory.
fn node(inventory: &str) -> NodeDirectory {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), inventory).expect("written");
    NodeDirectory {
        owners: CgroupOwners::new(1, 100),
        namespaces: Namespaces::new(Some(HOST)),
        entries: Inventory::read(file.path()).expect("valid").into(),
        networks: KnownNetworks::default(),
        addresses: HashSet::new(),
        generation: 0,
    }
}

fn name(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Workload(workload) => workload.name.clone(),
        Endpoint::Point(point) => point.name.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn an_address_is_who_holds_it() {
    let node = node(
        "workloads:\n  - { name: a, addresses: [10.0.0.1, fd00::1] }\n  - { name: b, addresses: [10.0.0.2] }\n\
         points:\n  - { name: w, kind: waypoint, addresses: [10.0.0.9] }\n",
    );
    let directory = Directory::new(&node, None, true);
    for (peer, expected) in [
        ("10.0.0.1", "a"),
        ("fd00::1", "a"),
        ("10.0.0.2", "b"),
        ("10.0.0.9", "default/w"),
        ("10.0.0.3", "Unknown"),
        ("8.8.8.8", "External"),
        ("2001:db8::1", "External"),
        ("100.64.0.1", "Unknown"),
        ("127.0.0.1", "Unknown"),
    ] {
        assert_eq!(name(&directory.bind(&key(0, 1, peer), SPAN).peer), expected, "{peer}");
    }
    assert_eq!(directory.bind(&key(0, HOST, "127.0.0.1"), SPAN).peer, Endpoint::Node);
}

#[test]
fn who_is_known_wins_over_a_network_and_a_network_over_nothing() {
    let mut node = node(
        "workloads:\n  - { name: a, addresses: [10.20.0.1] }\n  - { name: b, addresses: [10.20.0.2] }\n  - { name: c, addresses: \
         [10.20.0.2] }\n",
    );
    let ranges = ["10.20.0.0/16", "8.8.8.0/24"].map(str::to_owned);
    let networks = Networks::new(&[("rds".to_owned(), ranges.into())].into()).expect("valid");
    node.networks = networks.into();
    node.addresses.insert("10.20.0.4".parse().expect("an address"));
    let peer = |address: &str| {
        Directory::new(&node, None, true)
            .bind(&key(0, HOST, address), SPAN)
            .peer
    };
    for (address, expected) in [
        ("10.20.0.1", "a"),
        // Two hold it, so it is neither's, and not the network's.
        ("10.20.0.2", "Unknown"),
        ("10.20.0.4", "Node"),
        ("10.21.0.3", "Unknown"),
        ("8.8.4.4", "External"),
    ] {
        assert_eq!(name(&peer(address)), expected, "{address}");
    }
    for address in ["10.20.0.3", "8.8.8.8"] {
        let Endpoint::Network(network) = peer(address) else {
            panic!("{address}: {:?}", peer(address))
        };
        assert_eq!((network.namespace.as_str(), network.name.as_str()), ("external", "rds"));
    }
    // In a cluster, a pod with such an address may become known.
    let (shared, _) = cluster("deployment", 1);
    let directory = Directory::new(&node, Some(&shared), false);
    let unsure = directory.bind(&key(0, HOST, "10.20.0.3"), SPAN);
    assert!(matches!(unsure.peer, Endpoint::Network(_)) && !unsure.sure);
    drop(directory);
    node.networks = Networks::new(&[("pods".to_owned(), vec!["10.0.0.0/8".to_owned()])].into())
        .expect("valid")
        .into();
    let directory = Directory::new(&node, Some(&shared), false);
    assert!(matches!(
        directory.bind(&key(0, HOST, "10.0.0.7"), SPAN).peer,
        Endpoint::Workload(_)
    ));
}

#[test]
fn an_address_that_two_hold_is_decided_by_the_namespace() {
    let mut node = node("workloads:\n  - { name: a, addresses: [10.0.0.1] }\n  - { name: b, addresses: [10.0.0.1] }\n");
    for (netns, entry) in [(7, 0), (8, 1)] {
        let Identity::Workload(workload) = node.entries.all()[entry].identity.clone() else {
            panic!("a workload")
        };
        assert!(node.entries.set_namespace(netns, &workload));
    }
    let directory = Directory::new(&node, None, true);
    let peer = |netns, address| directory.bind(&key(0, netns, address), SPAN).peer;
    assert_eq!(name(&peer(7, "10.0.0.1")), "a");
    assert_eq!(name(&peer(8, "10.0.0.1")), "b");
    assert_eq!(name(&peer(8, "127.0.0.1")), "b");
    assert_eq!(peer(9, "10.0.0.1"), Endpoint::Unknown);
}

/// A cluster with one pod on this node, the `n`th of the test, and that pod.
fn cluster(manifest: &str, n: u8) -> (Shared, Arc<LocalPod>) {
    let setup = Setup {
        rules: Rules::new(Vec::new()).expect("the built-in rules"),
        meshes: Meshes::default(),
        uncovered: Vec::new(),
        pods: 100,
        settle: 2_000,
    };
    let shared = Shared::new(setup, &[Source::NodePods, Source::ClusterPods]);
    let uid = format!("7e57ab1e-0000-4000-8000-{n:012}");
    let manifest = Manifest::of(manifest).uid(&uid).ip(&["10.0.0.7"]);
    let pod: Pod = serde_json::from_value(manifest.into_value()).expect("a pod");
    shared.directory_mut().apply_pod(Source::NodePods, &pod, SPAN.to);
    let uid = PodUid::parse(&uid).expect("a uid");
    let pod = shared.directory().local(uid).expect("it is on this node").clone();
    (shared, pod)
}

fn container(pod: &Arc<LocalPod>, identity: Identity) -> Owner {
    Owner::Container(Named {
        pod: pod.clone(),
        identity,
        since: Instant::now(),
        settled: true,
    })
}

#[test]
fn a_cgroup_that_nobody_has_asked_about_is_a_question_until_the_observer_has_looked() {
    let mut node = node("");
    fn bind(node: &NodeDirectory, cgroup: u64, is_final: bool) -> Binding {
        Directory::new(node, None, is_final).bind(&key(cgroup, 7, "10.0.0.1"), SPAN)
    }
    let question = Question {
        cgroup: CONTAINER,
        netns: 7,
    };
    assert_eq!(bind(&node, CONTAINER, false).question, Some(question));
    assert_eq!(bind(&node, CONTAINER, true).question, None);
    node.owners.miss(CONTAINER, Instant::now());
    assert_eq!(bind(&node, CONTAINER, false).question, None);
    node.owners.insert(CONTAINER, "/somewhere".into());
    assert_eq!(bind(&node, CONTAINER, false).question, Some(question));
    node.owners.set(CONTAINER, Owner::Nobody(Instant::now()));
    let binding = bind(&node, CONTAINER, false);
    assert_eq!((binding.question, binding.owner), (None, Endpoint::Unknown));
    // Neither 0 (no cgroup) nor the root cgroup is ever inspected.
    for cgroup in [0, 1] {
        assert_eq!(bind(&node, cgroup, false).question, None);
    }
}

#[test]
fn a_proxy_in_anothers_namespace_acts_for_whoever_was_seen_there() {
    let (shared, pod) = cluster("deployment", 1);
    let mut node = node("");
    let (app, ztunnel) = (CONTAINER, CONTAINER + 1);
    for cgroup in [app, ztunnel] {
        node.owners.insert(cgroup, format!("/{cgroup}"));
    }
    node.owners
        .set(app, container(&pod, Identity::Workload(pod.workload.clone())));
    let (_, other) = cluster("istio-ztunnel", 2);
    let point = other.point.clone().expect("a ztunnel is a point");
    node.owners.set(ztunnel, container(&other, Identity::Point(point)));
    let bind = |node: &NodeDirectory, cgroup| {
        Directory::new(node, Some(&shared), false).bind(&key(cgroup, 7, "192.0.2.1"), SPAN)
    };
    // Both are the first sockets in the namespace, and the application's own socket tells which pod it is.
    assert!(bind(&node, app).question.is_some());
    let binding = bind(&node, ztunnel);
    assert_eq!((binding.question.is_some(), binding.place), (true, None));
    node.namespaces.see(7, app, &pod);
    assert_eq!(bind(&node, app).question, None);
    let binding = bind(&node, ztunnel);
    assert_eq!((binding.question, binding.place), (None, Some(pod.workload.clone())));
}

#[test]
fn nothing_changes_while_a_directory_is_borrowed() {
    let (shared, pod) = cluster("deployment", 1);
    let node = node("");
    let directory = Directory::new(&node, Some(&shared), false);
    let peer = |directory: &Directory<'_>| name(&directory.bind(&key(0, 1, "10.0.0.7"), SPAN).peer);
    let (before, generation) = (peer(&directory), directory.generation());
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| {
            let mut objects = shared.directory_mut();
            objects.delete_pod(Source::NodePods, pod.uid, None, 0);
        });
        assert_eq!((peer(&directory), directory.generation()), (before, generation));
        assert!(!deleting.is_finished());
        drop(directory);
    });
    let directory = Directory::new(&node, Some(&shared), false);
    assert!(directory.generation() > generation);
}
