//! Answers that are none: refusals, garbage, silence, and half of one.

use crate::shop::{SOURCES, Shop, service};
use narrows_testbed::kubernetes::{Fault, FaultKind, Resource, Verb, manifests};
use std::time::Duration;

fn status(code: u16, message: &str) -> FaultKind {
    FaultKind::Status(code, message.to_owned())
}

#[test]
fn lists_that_fail_at_first_are_read_in_the_end() {
    let failures = [
        (
            Resource::Namespaces,
            status(401, "Unauthorized"),
            "cannot list namespaces: the API server does not accept the agent's token (401)",
        ),
        (
            Resource::Services,
            status(500, "etcdserver: no leader"),
            "cannot list services: the API server answered 500: etcdserver: no leader",
        ),
        (
            Resource::Nodes,
            FaultKind::Garbage,
            "cannot list nodes: the answer is no list",
        ),
        (Resource::Pods, FaultKind::CutBody, "cannot list pods: "),
    ];
    let shop = Shop::open_with(&[], "", |cluster| {
        for (resource, kind, _) in &failures {
            let fault = Fault::new(kind.clone()).on(*resource).verb(Verb::List);
            cluster.api.fault(fault.times(2));
        }
    });
    shop.ready();
    shop.synced();
    for (_, _, sentence) in &failures {
        assert_eq!(shop.logged(sentence), 1, "{sentence}:\n{}", shop.agent.stderr());
    }
    for source in ["namespaces", "services", "nodes", "node_pods"] {
        assert_eq!(shop.figure("narrows_identity_failures_total", source), 2.0, "{source}");
        assert_eq!(shop.figure("narrows_identity_lists_total", source), 1.0, "{source}");
    }
    shop.sells(10);
}

#[test]
fn connections_that_end_without_an_answer_are_tried_again() {
    let shop = Shop::open_with(&[], "", |cluster| {
        cluster.api.fault(Fault::new(FaultKind::Close).times(3));
    });
    shop.ready();
    shop.synced();
    shop.sells(10);
}

#[test]
fn it_comes_back_when_it_was_told_to_and_not_before() {
    const SECONDS: u32 = 3;
    let shop = Shop::open_with(&[], "", |cluster| {
        let later = |code, resource, verb| {
            let fault = Fault::new(FaultKind::RetryAfter(code, SECONDS));
            cluster.api.fault(fault.on(resource).verb(verb).times(2));
        };
        later(429, Resource::Services, Verb::List);
        later(503, Resource::Nodes, Verb::Watch);
    });
    shop.ready();
    shop.says(
        "services",
        "cannot list services: the API server answered 429: Too many requests",
    );
    shop.says(
        "nodes",
        "cannot watch nodes: the API server answered 503: Too many requests",
    );
    for (resource, verb) in [(Resource::Services, Verb::List), (Resource::Nodes, Verb::Watch)] {
        let asked = shop.awaits("a third attempt", || {
            let asked = shop.asked(verb, resource);
            (asked.len() >= 3).then_some(asked)
        });
        let pauses: Vec<_> = asked.windows(2).map(|two| two[1].at - two[0].at).collect();
        let told = Duration::from_secs(SECONDS.into());
        assert!(pauses.iter().all(|pause| *pause >= told), "{resource}: {pauses:?}");
    }
    shop.synced();
    shop.sells(10);
}

#[test]
fn a_list_that_never_comes_keeps_neither_the_agent_nor_the_pods_waiting() {
    let shop = Shop::open_with(&[], "", |cluster| {
        let fault = Fault::new(FaultKind::Hang).on(Resource::Namespaces);
        cluster.api.fault(fault.verb(Verb::List).times(1));
    });
    shop.ready();
    shop.sells(10);
    assert_eq!(shop.source("namespaces")["synced"], false);
    shop.ready();
    // Its connection ends.
    shop.cluster.api.stop();
    shop.cluster.api.resume().expect("the same port");
    shop.synced();
    shop.sells(10);
}

#[test]
fn a_watch_that_never_begins_keeps_nobody_else_waiting() {
    let shop = Shop::open();
    let fault = Fault::new(FaultKind::Hang).on(Resource::Namespaces).verb(Verb::Watch);
    shop.cluster.api.fault(fault.times(1));
    shop.cluster.api.drop_watches();
    shop.awaits("the watch to hang", || {
        let watches = shop.asked(Verb::Watch, Resource::Namespaces);
        watches.iter().any(|watch| watch.status.is_none()).then_some(())
    });
    let late = shop.hire("late", 12);
    shop.knows("late", &late);
    shop.ready();
    shop.cluster.api.stop();
    shop.cluster.api.resume().expect("the same port");
    shop.synced();
    assert_eq!(shop.figure("narrows_identity_lists_total", "namespaces"), 1.0);
}

/// Lets the watches of pods, services, namespaces and nodes fail, each in its way, and shows that no change is missed.
fn go_on_where_they_were(kinds: &[(FaultKind, &str); 4]) {
    let shop = Shop::open();
    let resources = [
        Resource::Pods,
        Resource::Services,
        Resource::Namespaces,
        Resource::Nodes,
    ];
    for (resource, (kind, _)) in resources.into_iter().zip(kinds) {
        let fault = Fault::new(kind.clone()).on(resource).verb(Verb::Watch);
        // One of the two watches of pods may meet it twice.
        shop.cluster.api.fault(fault.times(2));
    }
    let before = ["services", "namespaces", "nodes"].map(|source| (source, shop.objects(source)));
    shop.cluster.api.drop_watches();
    let late = shop.hire("late", 12);
    let api = &shop.cluster.api;
    api.put(Resource::Services, service("tea", "10.96.0.7"));
    api.put(Resource::Namespaces, manifests::namespace("new", &[]));
    api.put(
        Resource::Nodes,
        manifests::node("worker-9", &["172.18.0.9"], "10.99.0.0/24"),
    );
    shop.sells(3);
    shop.knows("late", &late);
    for (source, before) in before {
        shop.awaits(source, || (shop.objects(source) == before + 1.0).then_some(()));
    }
    for (_, sentence) in kinds {
        shop.awaits(sentence, || (shop.logged(sentence) > 0).then_some(()));
    }
    shop.ready();
    shop.synced();
    assert_eq!(shop.lists(), [1.0; 5]);
}

#[test]
fn watches_that_break_off_go_on_where_they_were() {
    go_on_where_they_were(&[
        (FaultKind::CutBody, "cannot watch pods: "),
        (
            FaultKind::WatchError(500),
            "cannot watch services: the API server broke it off: 500",
        ),
        (FaultKind::Garbage, "cannot watch namespaces: what came is no event"),
        (FaultKind::CutBody, "cannot watch nodes: "),
    ]);
}

#[test]
fn watches_that_do_not_begin_go_on_where_they_were() {
    go_on_where_they_were(&[
        (
            status(500, "etcdserver: request timed out"),
            "cannot watch pods: the API server answered 500: etcdserver: request timed out",
        ),
        (
            status(401, "Unauthorized"),
            "cannot watch services: the API server does not accept the agent's token (401)",
        ),
        (FaultKind::Close, "cannot watch namespaces: "),
        (
            status(503, "apiserver is shutting down"),
            "cannot watch nodes: the API server answered 503: apiserver is shutting down",
        ),
    ]);
}

#[test]
fn a_watch_that_breaks_off_each_time_is_logged_once() {
    let shop = Shop::open();
    let fault = Fault::new(FaultKind::WatchError(500)).on(Resource::Services);
    shop.cluster.api.fault(fault);
    shop.cluster.api.drop_watches();
    let before = shop.asked(Verb::Watch, Resource::Services).len();
    let sentence = "cannot watch services: the API server broke it off: 500";
    shop.awaits("the fourth attempt", || {
        (shop.asked(Verb::Watch, Resource::Services).len() >= before + 4).then_some(())
    });
    shop.says("services", sentence);
    shop.ready();
    assert_eq!(shop.logged(sentence), 1, "{}", shop.agent.stderr());
    shop.cluster.api.clear_faults();
    shop.synced();
}

#[test]
fn watches_that_are_cut_off_together_are_begun_again() {
    let shop = Shop::open();
    let lists = shop.lists();
    for n in 0..3 {
        shop.cluster.api.drop_watches();
        let name = format!("late{n}");
        let late = shop.hire(&name, 12 + n);
        shop.knows(&name, &late);
    }
    shop.synced();
    assert_eq!(shop.lists(), lists);
    for (source, _) in SOURCES {
        assert_eq!(shop.error(source), None, "{source}");
    }
}
