//! The API server is away for a while, or not there yet.

use crate::shop::{SOURCES, Shop, connect, figure};
use narrows_testbed::scrape::Metrics;

const AGE: &str = "narrows_identity_age_seconds";

fn ages(metrics: &Metrics) -> Vec<f64> {
    SOURCES.iter().map(|(source, _)| figure(metrics, AGE, source)).collect()
}

#[test]
fn while_it_is_away_the_last_state_holds_and_afterwards_what_is_new_is_known() {
    let shop = Shop::open();
    shop.sells(10);
    let begun = shop.agent.metrics().sum("process_start_time_seconds", &[]);
    let first = ages(&shop.agent.metrics());

    shop.cluster.api.stop();
    for (source, _) in SOURCES {
        shop.says(source, "the API server cannot be reached");
    }
    shop.sells(10);
    // One line for each list, however often it is tried; the client library says nothing of its own.
    shop.awaits("three attempts", || {
        (shop.figure("narrows_identity_failures_total", "services") >= 3.0).then_some(())
    });
    let log = shop.agent.stderr();
    for (source, _) in SOURCES {
        let told = log
            .lines()
            .filter(|line| line.contains(&format!("source={source:?}")) && line.contains("reached"));
        assert_eq!(told.count(), 1, "{source}: {log}");
    }
    let others: Vec<_> = log.lines().filter(|line| !line.contains(" narrows::")).collect();
    assert!(others.is_empty(), "{others:?}");
    let later = shop.agent.wait_for("all lists to be older", |metrics| {
        ages(metrics).iter().zip(&first).all(|(now, first)| *now > first + 1.0)
    });
    shop.ready();
    // These wait for their identity.
    let late = shop.hire("late", 12);
    connect(&late, 7);

    shop.cluster.api.resume().expect("the same port");
    shop.depends("late", 7);
    shop.synced();
    let later = ages(&later);
    shop.agent.wait_for("all lists to be younger", |metrics| {
        ages(metrics).iter().zip(&later).all(|(now, later)| now < later)
    });
    shop.sells(10);
    shop.ready();
    assert_eq!(shop.agent.metrics().sum("process_start_time_seconds", &[]), begun);
}

#[test]
fn an_agent_that_starts_without_it_is_ready_and_reads_everything_once_it_is_there() {
    let shop = Shop::open_with(&[], "", |cluster| cluster.api.stop());
    shop.ready();
    let sentence = shop.says("services", "cannot list services: the API server cannot be reached");
    assert!(!sentence.contains('\n'), "{sentence}");
    assert!(shop.sources().iter().all(|source| source["synced"] == false));
    assert_eq!(shop.figure("narrows_identity_synced", "services"), 0.0);
    shop.cluster.api.resume().expect("the same port");
    // The connections wait for it.
    shop.sells(10);
    shop.synced();
    for (source, _) in SOURCES {
        assert_eq!(shop.figure("narrows_identity_synced", source), 1.0, "{source}");
        assert_eq!(shop.figure("narrows_identity_lists_total", source), 1.0, "{source}");
    }
}
