//! Tests of watch requests.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::super::{ApiServer, Fault, FaultKind, Resource, Verb};
use super::client::{Answer, ask, document};
use super::pod;
use crate::wait;

const PODS: Resource = Resource::Pods;

/// Watches pods from now on.
fn watch(server: &ApiServer, query: &str) -> Result<Answer> {
    let list = document(server, "/api/v1/pods")?;
    let version = list["metadata"]["resourceVersion"].as_str().context("no version")?;
    ask(
        server,
        &format!("/api/v1/pods?watch=true&resourceVersion={version}{query}"),
    )
}

fn change(kind: &str, name: &str, version: u64) -> (String, String, u64) {
    (kind.to_owned(), name.to_owned(), version)
}

#[test]
fn tells_changes_in_order() -> Result<()> {
    let server = ApiServer::start()?;
    server.put(PODS, pod("a", "n1"));
    let mut watch = watch(&server, "&allowWatchBookmarks=true")?;
    assert_eq!(watch.header("transfer-encoding"), Some("chunked"));
    server.put(PODS, pod("b", "n1"));
    server.put(PODS, pod("a", "n2"));
    server.put(Resource::Nodes, json!({"metadata": {"name": "n1"}}));
    assert!(server.delete(PODS, "shop", "b"));
    assert!(!server.delete(PODS, "shop", "b"));
    let added = watch.event()?.context("no event")?;
    assert_eq!(
        (&added["type"], &added["object"]["kind"]),
        (&json!("ADDED"), &json!("Pod"))
    );
    assert_eq!(added["object"]["metadata"]["resourceVersion"], "3");
    assert_eq!(watch.change()?, change("MODIFIED", "a", 4));
    assert_eq!(watch.change()?, change("DELETED", "b", 6));
    server.bookmark();
    let bookmark = watch.event()?.context("no event")?;
    let expected = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "6"}});
    assert_eq!(bookmark, json!({"type": "BOOKMARK", "object": expected}));
    Ok(())
}

#[test]
fn bookmarks_come_by_themselves_to_who_asked() -> Result<()> {
    let server = ApiServer::start()?;
    let mut with = watch(&server, "&allowWatchBookmarks=true")?;
    let mut without = watch(&server, "")?;
    server.bookmark_every(Duration::from_millis(20));
    assert_eq!(with.change()?, change("BOOKMARK", "", 1));
    assert_eq!(with.change()?, change("BOOKMARK", "", 1));
    server.put(PODS, pod("a", "n1"));
    assert_eq!(without.change()?, change("ADDED", "a", 2));
    Ok(())
}

#[test]
fn objects_enter_and_leave_a_selection() -> Result<()> {
    let server = ApiServer::start()?;
    server.put_all(PODS, [pod("here", "n1"), pod("there", "n2")]);
    let mut watch = watch(&server, "&fieldSelector=spec.nodeName%3Dn1")?;
    server.put(PODS, pod("there", "n3"));
    server.put(PODS, pod("there", "n1"));
    server.put(PODS, pod("there", "n1"));
    server.put(PODS, pod("here", "n2"));
    server.delete(PODS, "shop", "here");
    server.delete(PODS, "shop", "there");
    assert_eq!(watch.change()?, change("ADDED", "there", 5));
    assert_eq!(watch.change()?, change("MODIFIED", "there", 6));
    let left = watch.event()?.context("no event")?;
    assert_eq!(
        (&left["type"], &left["object"]["metadata"]["name"]),
        (&json!("DELETED"), &json!("here"))
    );
    // The last state that matched the selector, with the version of the change after which it no longer matched.
    assert_eq!(left["object"]["spec"]["nodeName"], "n1");
    assert_eq!(left["object"]["metadata"]["resourceVersion"], "7");
    assert_eq!(watch.change()?, change("DELETED", "there", 9));
    Ok(())
}

#[test]
fn starts_with_the_state_when_no_version_is_given() -> Result<()> {
    let server = ApiServer::start()?;
    server.put_all(PODS, [pod("a", "n1"), pod("b", "n1")]);
    for query in ["", "&resourceVersion=0"] {
        let mut watch = ask(&server, &format!("/api/v1/pods?watch=1{query}"))?;
        assert_eq!(watch.change()?, change("ADDED", "a", 2));
        assert_eq!(watch.change()?, change("ADDED", "b", 3));
    }
    let query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = ask(&server, &format!("/api/v1/pods?watch=1{query}"))?;
    watch.change()?;
    watch.change()?;
    let end = watch.event()?.context("no event")?;
    let annotations = &end["object"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    server.put(PODS, pod("c", "n1"));
    assert_eq!(watch.change()?, change("ADDED", "c", 4));
    Ok(())
}

fn assert_expired(event: Option<Value>) {
    let event = event.expect("an event");
    let object = &event["object"];
    assert_eq!(
        (&event["type"], &object["kind"], &object["reason"], &object["code"]),
        (&json!("ERROR"), &json!("Status"), &json!("Expired"), &json!(410))
    );
}

#[test]
fn old_versions_expire() -> Result<()> {
    let server = ApiServer::start()?;
    server.put(PODS, pod("a", "n1"));
    let mut open = watch(&server, "")?;
    server.put(PODS, pod("b", "n1"));
    server.compact();
    let old = "/api/v1/pods?watch=1&resourceVersion=2";
    let mut late = ask(&server, old)?;
    assert_eq!(late.status, 200);
    assert_expired(late.event()?);
    assert!(late.event()?.is_none(), "a proper end");
    // The same, as some proxies and older servers report it.
    let plain = FaultKind::Status(410, "too old resource version: 2 (3)".to_owned());
    server.fault(Fault::new(plain).verb(Verb::Watch).times(1));
    assert_eq!(ask(&server, old)?.status, 410);
    server.fault(Fault::new(FaultKind::WatchError(500)).times(1));
    let mut failed = watch(&server, "")?;
    assert_eq!(failed.event()?.context("no event")?["object"]["code"], 500);
    // An open watch still gets earlier changes, and then the event that it cannot continue.
    assert_eq!(open.change()?, change("ADDED", "b", 3));
    server.expire_watches();
    assert_expired(open.event()?);
    assert!(open.event()?.is_none(), "a proper end");
    Ok(())
}

#[test]
fn held_events_come_in_order_when_released() -> Result<()> {
    let server = ApiServer::start()?;
    let mut watch = watch(&server, "&allowWatchBookmarks=true")?;
    server.hold(PODS);
    server.put(PODS, pod("a", "n1"));
    server.put(PODS, pod("b", "n1"));
    server.bookmark();
    // No newer version than that of the last event.
    assert_eq!(watch.change()?, change("BOOKMARK", "", 1));
    server.release(PODS);
    assert_eq!(watch.change()?, change("ADDED", "a", 2));
    assert_eq!(watch.change()?, change("ADDED", "b", 3));
    Ok(())
}

#[test]
fn ends_in_time_or_is_torn() -> Result<()> {
    let server = ApiServer::start()?;
    let torn = watch(&server, "")?;
    let other = watch(&server, "")?;
    assert_eq!(server.watches(PODS), 2);
    drop(other);
    let start = Instant::now();
    let mut timed = watch(&server, "&timeoutSeconds=1")?;
    assert!(timed.event()?.is_none(), "a proper end");
    assert!(start.elapsed() >= Duration::from_secs(1));
    server.drop_watches();
    assert_eq!(torn.until_torn().as_deref(), Some(""));
    let gone = watch(&server, "")?;
    drop(gone);
    wait::until("the watches to end", Duration::from_secs(5), || {
        (server.watches(PODS) == 0).then_some(())
    })
}

#[test]
fn goes_on_after_many_changes() -> Result<()> {
    let server = ApiServer::start()?;
    let mut watch = watch(&server, "")?;
    server.put_all(PODS, (0..2000).map(|number| pod(&format!("p{number}"), "n1")));
    for number in 0..2000 {
        assert_eq!(watch.change()?, change("ADDED", &format!("p{number}"), number + 2));
    }
    Ok(())
}
