//! The API server has forgotten where a watch or a list was, and everything is read anew.

use crate::shop::{SOURCES, Shop, connect_from_afar, remote};
use narrows_testbed::kubernetes::{Fault, FaultKind, Resource, Verb};
use std::time::Duration;

/// More than two pages.
const MANY: usize = 1_100;

fn gone() -> FaultKind {
    FaultKind::Status(410, "too old resource version".to_owned())
}

#[test]
fn what_happened_before_a_compaction_is_known_after_it() {
    let shop = Shop::open_with(&[], "identity: { settle: 0.2, wait: 2 }\n", |cluster| {
        let pods = [("kept", "10.90.0.60"), ("left", "10.90.0.61")];
        let pods = pods.map(|(name, address)| remote(name, name, address).into_value());
        cluster.api.put_all(Resource::Pods, pods);
    });
    let (kept, left) = (
        shop.cluster.world.workload("kept", 60),
        shop.cluster.world.workload("left", 61),
    );
    shop.synced();
    for (workload, name) in [(&kept, "kept"), (&left, "left")] {
        connect_from_afar(workload, 4);
        shop.depends(name, 4);
    }
    let lists = shop.lists();

    shop.cluster.api.stop();
    assert!(shop.cluster.api.delete(Resource::Pods, "shop", "left"));
    let come = remote("come", "come", "10.90.0.62").into_value();
    shop.cluster.api.put(Resource::Pods, come);
    let late = shop.hire("late", 12);
    shop.cluster.api.compact();
    shop.cluster.api.resume().expect("the same port");

    let once_more: Vec<_> = lists.iter().map(|lists| lists + 1.0).collect();
    shop.awaits("every list once more", || (shop.lists() == once_more).then_some(()));
    shop.synced();
    shop.knows("late", &late);
    let come = shop.cluster.world.workload("come", 62);
    for (workload, name, n) in [(&kept, "kept", 8), (&left, "unknown", 4), (&come, "come", 4)] {
        connect_from_afar(workload, 4);
        shop.depends(name, n);
    }
    shop.depends("left", 4);
    assert_eq!(shop.objects("cluster_pods"), 2.0);
    assert_eq!(shop.lists(), once_more);
}

#[test]
fn a_watch_that_has_expired_leads_to_one_more_list() {
    let shop = Shop::open();
    let lists = shop.lists();
    shop.cluster.api.expire_watches();
    let once_more: Vec<_> = lists.iter().map(|lists| lists + 1.0).collect();
    shop.awaits("every list once more", || (shop.lists() == once_more).then_some(()));
    let late = shop.hire("late", 12);
    shop.knows("late", &late);
    shop.sells(5);
    assert_eq!(shop.lists(), once_more);
    // It is no failure.
    for (source, _) in SOURCES {
        assert_eq!(shop.figure("narrows_identity_failures_total", source), 0.0, "{source}");
    }
}

#[test]
fn a_watch_that_is_refused_as_gone_leads_to_one_more_list() {
    let shop = Shop::open();
    let lists = shop.lists();
    let fault = Fault::new(gone()).on(Resource::Nodes).verb(Verb::Watch);
    shop.cluster.api.fault(fault.times(1));
    shop.cluster.api.drop_watches();
    let expected: Vec<_> = SOURCES
        .iter()
        .zip(&lists)
        .map(|((source, _), lists)| lists + f64::from(u8::from(*source == "nodes")))
        .collect();
    shop.awaits("the nodes once more", || (shop.lists() == expected).then_some(()));
    shop.synced();
    let late = shop.hire("late", 12);
    shop.knows("late", &late);
    assert_eq!(shop.lists(), expected);
}

#[test]
fn an_api_server_that_forgets_at_once_is_not_asked_without_a_pause() {
    let shop = Shop::open();
    let resources = [Resource::Namespaces, Resource::Services];
    let before = resources.map(|resource| shop.asked(Verb::List, resource).len());
    // As an answer, and as an event.
    for (resource, kind) in resources.into_iter().zip([gone(), FaultKind::WatchError(410)]) {
        shop.cluster.api.fault(Fault::new(kind).on(resource).verb(Verb::Watch));
    }
    shop.cluster.api.drop_watches();
    for (resource, before) in resources.into_iter().zip(before) {
        let lists = shop.awaits("four more lists", || {
            let lists = shop.asked(Verb::List, resource);
            (lists.len() >= before + 4).then_some(lists)
        });
        // The first is at once, as it should be. The others have to wait.
        let pauses = lists[before..].windows(2).map(|two| two[1].at - two[0].at);
        let pauses: Vec<_> = pauses.collect();
        let least = Duration::from_millis(200);
        assert!(pauses.iter().all(|pause| *pause >= least), "{resource}: {pauses:?}");
    }
    shop.cluster.api.clear_faults();
    shop.synced();
}

#[test]
fn a_list_whose_next_page_has_expired_is_begun_again() {
    let shop = Shop::open_with(&[], "", |cluster| {
        let pods = (0..MANY).map(|n| {
            let address = format!("10.91.{}.{}", n / 250, n % 250 + 1);
            remote("many", &format!("many-{n}"), &address).into_value()
        });
        cluster.api.put_all(Resource::Pods, pods);
        let fault = Fault::new(FaultKind::Held).on(Resource::Pods).verb(Verb::List);
        cluster.api.fault(fault.continued());
    });
    // It is answered only after the history is gone.
    shop.awaits("a further page to be asked for", || {
        let lists = shop.asked(Verb::List, Resource::Pods);
        lists
            .iter()
            .any(|list| list.continued && list.status.is_none())
            .then_some(())
    });
    shop.cluster.api.compact();
    shop.cluster.api.clear_faults();
    shop.synced();
    let lists = shop.asked(Verb::List, Resource::Pods);
    assert!(
        lists.iter().any(|list| list.continued && list.status == Some(410)),
        "{lists:?}"
    );
    assert_eq!(shop.objects("cluster_pods"), MANY as f64);
    assert_eq!(shop.figure("narrows_identity_lists_total", "cluster_pods"), 1.0);
    assert_eq!(shop.figure("narrows_identity_failures_total", "cluster_pods"), 1.0);
    shop.sells(5);
}
