//! The agent's role lacks something.

use crate::{
    common::{
        binary,
        cluster::{Cluster, NODE},
    },
    shop::{SOURCES, Shop, service},
};
use narrows_testbed::{
    command,
    kubernetes::{Fault, Resource, Verb},
};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const NEEDED: [Resource; 4] = [
    Resource::Pods,
    Resource::Namespaces,
    Resource::Services,
    Resource::Nodes,
];

/// What is said of a refusal that may come from an API server that is starting.
fn at_first(verb: Verb, resource: Resource) -> String {
    let (verb, resource) = (verb.name(), resource.plural());
    format!("cannot {verb} {resource}: the API server answered 403, as one that is starting does")
}

/// What is said of one that has lasted.
fn sentence(verb: Verb, resource: Resource) -> String {
    format!(
        "the agent's role lacks the verb {:?} on {:?}",
        verb.name(),
        resource.plural()
    )
}

/// How often the log has a sentence about a list.
fn logged(shop: &Shop, source: &str, sentence: &str) -> usize {
    let (log, source) = (shop.agent.stderr(), format!("source={source:?}"));
    let lines = log
        .lines()
        .filter(|line| line.contains(sentence) && line.contains(&source));
    lines.count()
}

#[test]
fn lists_that_are_forbidden_are_named_once_and_the_pods_are_known_without_them() {
    let others = [Resource::Namespaces, Resource::Services, Resource::Nodes];
    let shop = Shop::open_with(&[], "", |cluster| {
        for resource in others {
            cluster.api.fault(Fault::forbidden(resource, Verb::List));
        }
    });
    shop.ready();
    let begun = Instant::now();
    for resource in others {
        shop.says(resource.plural(), &at_first(Verb::List, resource));
    }
    for resource in others {
        let expected = sentence(Verb::List, resource);
        let said = shop.says(resource.plural(), &expected);
        assert!(said.contains("rbac.yaml") && !said.contains('\n'), "{said}");
    }
    // It is answered half a minute after the first refusal, which this test has seen late.
    assert!(begun.elapsed() > Duration::from_secs(15), "{:?}", begun.elapsed());
    shop.sells(10);
    for (source, resource) in SOURCES {
        let pods = resource == Resource::Pods;
        assert_eq!(shop.error(source).is_none(), pods, "{source}");
        assert_eq!(shop.source(source)["synced"], pods, "{source}");
    }
    shop.awaits("three attempts at the services", || {
        (shop.figure("narrows_identity_failures_total", "services") >= 3.0).then_some(())
    });
    for resource in others {
        for expected in [at_first(Verb::List, resource), sentence(Verb::List, resource)] {
            assert_eq!(
                logged(&shop, resource.plural(), &expected),
                1,
                "{}",
                shop.agent.stderr()
            );
        }
    }
    shop.cluster.api.clear_faults();
    shop.synced();
    shop.sells(10);
}

#[test]
fn pods_that_may_not_be_listed_are_named_once_and_the_other_lists_go_on() {
    let shop = Shop::open_with(&[], "", |cluster| {
        cluster.api.fault(Fault::forbidden(Resource::Pods, Verb::List));
    });
    let expected = at_first(Verb::List, Resource::Pods);
    shop.says("node_pods", &expected);
    shop.awaits("three attempts", || {
        (shop.figure("narrows_identity_failures_total", "node_pods") >= 3.0).then_some(())
    });
    shop.ready();
    assert_eq!(logged(&shop, "node_pods", &expected), 1, "{}", shop.agent.stderr());
    let services = shop.objects("services");
    shop.cluster.api.put(Resource::Services, service("tea", "10.96.0.7"));
    shop.awaits("the new service", || {
        (shop.objects("services") == services + 1.0).then_some(())
    });
    for source in ["namespaces", "services", "nodes"] {
        assert_eq!(shop.error(source), None, "{source}");
    }
    // What comes meanwhile waits for the pods.
    shop.cluster.api.clear_faults();
    shop.sells(10);
    shop.synced();
}

#[test]
fn watches_that_are_forbidden_are_named_once_and_what_was_listed_is_known() {
    let shop = Shop::open_with(&[], "", |cluster| {
        for resource in NEEDED {
            cluster.api.fault(Fault::forbidden(resource, Verb::Watch));
        }
    });
    for (source, resource) in SOURCES {
        let said = shop.says(source, &sentence(Verb::Watch, resource));
        assert!(said.contains("rbac.yaml") && !said.contains('\n'), "{said}");
    }
    shop.sells(10);
    shop.ready();
    for (source, resource) in SOURCES {
        for expected in [at_first(Verb::Watch, resource), sentence(Verb::Watch, resource)] {
            assert_eq!(logged(&shop, source, &expected), 1, "{}", shop.agent.stderr());
        }
    }
    shop.cluster.api.clear_faults();
    shop.synced();
    let late = shop.hire("late", 12);
    shop.knows("late", &late);
}

#[test]
fn a_watch_that_stays_forbidden_is_not_logged_again_when_the_list_is_read_again() {
    let shop = Shop::open_with(&[], "", |cluster| {
        cluster.api.fault(Fault::forbidden(Resource::Services, Verb::Watch));
    });
    let expected = at_first(Verb::Watch, Resource::Services);
    shop.says("services", &expected);
    // By then it has given the watch up once, and has read the list again.
    shop.awaits("the sixth attempt", || {
        let watches = shop.asked(Verb::Watch, Resource::Services);
        (watches.len() >= 6 && watches.iter().all(|watch| watch.status == Some(403))).then_some(())
    });
    // The agent has read that answer as well.
    shop.says("services", &expected);
    assert_eq!(logged(&shop, "services", &expected), 1, "{}", shop.agent.stderr());
}

#[test]
fn an_api_server_that_has_not_loaded_its_roles_is_asked_until_it_has() {
    let shop = Shop::open_with(&[], "", |cluster| cluster.api.forget_roles());
    shop.ready();
    let first = ["namespaces", "services", "nodes"];
    for (source, resource) in SOURCES.into_iter().filter(|(source, _)| first.contains(source)) {
        shop.says(source, &at_first(Verb::List, resource));
        shop.awaits("a second attempt", || {
            (shop.asked(Verb::List, resource).len() >= 2).then_some(())
        });
    }
    shop.cluster.api.load_roles();
    shop.synced();
    shop.sells(10);
    for (source, resource) in SOURCES {
        assert_eq!(logged(&shop, source, &at_first(Verb::Watch, resource)), 0);
    }
    assert_eq!(shop.logged("lacks the verb"), 0, "{}", shop.agent.stderr());
    for source in first {
        assert_eq!(
            logged(&shop, source, "answered 403"),
            1,
            "{source}: {}",
            shop.agent.stderr()
        );
    }
    // None of the lists was given up: pods, which are understood with the others' help, came after them.
    let answered = |resource| {
        let asked = shop.asked(Verb::List, resource);
        let good = asked.iter().find(|asked| asked.status == Some(200));
        good.expect("it was listed").at
    };
    let pods = answered(Resource::Pods);
    for resource in [Resource::Namespaces, Resource::Services, Resource::Nodes] {
        assert!(answered(resource) < pods, "{resource}");
    }

    // A restart loses the watches as well.
    shop.cluster.api.stop();
    shop.cluster.api.forget_roles();
    shop.cluster.api.resume().expect("the same port");
    for (source, resource) in SOURCES {
        shop.says(source, &at_first(Verb::Watch, resource));
    }
    shop.cluster.api.load_roles();
    shop.synced();
    shop.sells(10);
    assert_eq!(shop.logged("lacks the verb"), 0, "{}", shop.agent.stderr());
}

/// The table of `narrows check`, and its exit code.
fn check(cluster: &Cluster) -> (Vec<String>, Option<i32>) {
    let mut check = Command::new(binary());
    check.args(["check", "--kubernetes", "on", "--node", NODE]);
    check.env("KUBECONFIG", cluster.api.kubeconfig());
    let output = command::output(&mut check).expect("it runs");
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (table.lines().map(str::to_owned).collect(), output.status.code())
}

/// The row of a list.
fn row_of(source: &str) -> String {
    format!("Kubernetes {source} ")
}

#[test]
fn check_names_each_verb_that_the_role_lacks_and_leaves_the_other_rows_alone() {
    let cluster = Cluster::new();
    let (whole, code) = check(&cluster);
    assert_eq!(code, Some(0), "{whole:?}");
    for (source, _) in SOURCES {
        let row = whole.iter().find(|row| row.starts_with(&row_of(source)));
        assert!(
            row.is_some_and(|row| row.contains("  ok ") && row.contains("may be listed and watched")),
            "{source}: {whole:?}"
        );
    }
    for (verb, resource) in [Verb::List, Verb::Watch]
        .into_iter()
        .flat_map(|verb| NEEDED.map(|resource| (verb, resource)))
    {
        cluster.api.fault(Fault::forbidden(resource, verb));
        let (rows, code) = check(&cluster);
        cluster.api.clear_faults();
        // The agent goes on without.
        assert_eq!(code, Some(0), "{rows:?}");
        assert_eq!(rows.len(), whole.len(), "{rows:?}");
        for (row, before) in rows.iter().zip(&whole) {
            let concerns = |(source, of): &(&str, Resource)| *of == resource && row.starts_with(&row_of(source));
            if SOURCES.iter().any(concerns) {
                assert!(
                    row.contains("  off ") && row.contains(&sentence(verb, resource)),
                    "{row}"
                );
            } else {
                assert_eq!(row, before);
            }
        }
    }
}

#[test]
fn check_says_when_the_api_server_is_away() {
    let cluster = Cluster::new();
    cluster.api.stop();
    let (rows, code) = check(&cluster);
    assert_eq!(code, Some(0), "{rows:?}");
    for (source, resource) in SOURCES {
        let row = rows.iter().find(|row| row.starts_with(&row_of(source)));
        let sentence = format!("cannot list {resource}: the API server cannot be reached");
        assert!(
            row.is_some_and(|row| row.contains("  off ") && row.contains(&sentence)),
            "{source}: {rows:?}"
        );
    }
}
