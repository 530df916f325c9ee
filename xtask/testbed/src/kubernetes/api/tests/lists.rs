//! Tests of lists and gets.

use std::fs;
use std::net::TcpStream;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::super::{ApiServer, Resource, Verb};
use super::client::{ask, document, request};
use super::{names, pod};

#[test]
fn pages_show_one_state_while_objects_change() -> Result<()> {
    let server = ApiServer::start()?;
    server.put_all(Resource::Pods, ["a", "b", "c", "d", "e"].map(|name| pod(name, "n1")));
    let first = document(&server, "/api/v1/pods?limit=2")?;
    assert_eq!(
        (&first["kind"], &first["apiVersion"]),
        (&json!("PodList"), &json!("v1"))
    );
    assert_eq!(names(&first), ["a", "b"]);
    assert!(first["items"][0].get("kind").is_none());
    assert_eq!(first["metadata"]["remainingItemCount"], 3);

    server.delete(Resource::Pods, "shop", "c");
    server.put(Resource::Pods, pod("d", "elsewhere"));
    server.put(Resource::Pods, pod("z", "n1"));
    let (mut seen, mut page) = (Vec::new(), first.clone());
    while let Some(token) = page["metadata"]["continue"].as_str() {
        page = document(&server, &format!("/api/v1/pods?limit=2&continue={token}"))?;
        assert_eq!(
            page["metadata"]["resourceVersion"],
            first["metadata"]["resourceVersion"]
        );
        seen.extend(names(&page).into_iter().map(str::to_owned));
        assert!(!page.to_string().contains("elsewhere"));
    }
    assert_eq!(seen, ["c", "d", "e"]);
    assert_eq!(names(&document(&server, "/api/v1/pods")?), ["a", "b", "d", "e", "z"]);
    // From its cache, a real server returns all items in one page.
    let cached = document(&server, "/api/v1/pods?limit=2&resourceVersion=0")?;
    assert_eq!(names(&cached).len(), 5);
    Ok(())
}

#[test]
fn selectors_and_namespaces_limit_a_list() -> Result<()> {
    let server = ApiServer::start()?;
    server.put_all(Resource::Pods, [pod("a", "n1"), pod("b", "n2"), pod("c", "n1")]);
    let other = json!({"metadata": {"namespace": "other", "name": "o"}, "spec": {"nodeName": "n1"}});
    server.put(Resource::Pods, other);
    let on_node = document(&server, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&limit=2")?;
    assert_eq!(names(&on_node), ["o", "a"]);
    assert!(on_node["metadata"].get("remainingItemCount").is_none());
    let in_namespace = document(&server, "/api/v1/namespaces/shop/pods?unknown=1")?;
    assert_eq!(names(&in_namespace), ["a", "b", "c"]);
    let labelled = document(&server, "/api/v1/pods?labelSelector=app+in+%28a%2Cb%29")?;
    assert_eq!(names(&labelled), ["a", "b"]);
    let refused = ask(&server, "/api/v1/pods?fieldSelector=spec.hostNetwork%3Dtrue")?;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()?["reason"], "BadRequest");
    Ok(())
}

#[test]
fn old_pages_expire() -> Result<()> {
    let server = ApiServer::start()?;
    server.put_all(
        Resource::Services,
        ["a", "b"].map(|name| json!({"metadata": {"name": name}})),
    );
    let first = document(&server, "/api/v1/services?limit=1")?;
    let token = first["metadata"]["continue"].as_str().unwrap_or_default();
    let next = format!("/api/v1/services?limit=1&continue={token}");
    assert_eq!(names(&document(&server, &next)?), ["b"]);
    server.compact();
    let expired = ask(&server, &next)?;
    assert_eq!(expired.status, 410);
    assert_eq!(expired.json()?["reason"], "Expired");
    assert_eq!(ask(&server, "/api/v1/services?continue=nonsense")?.status, 400);
    let future = ask(&server, "/api/v1/services?resourceVersion=99")?;
    assert_eq!(future.status, 504);
    assert_eq!(
        future.json()?["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    Ok(())
}

#[test]
fn held_lists_stand_still() -> Result<()> {
    let server = ApiServer::start()?;
    server.put(Resource::Pods, pod("a", "n1"));
    server.hold(Resource::Pods);
    server.put(Resource::Pods, pod("b", "n1"));
    server.put(Resource::Nodes, json!({"metadata": {"name": "n1"}}));
    assert_eq!(names(&document(&server, "/api/v1/pods")?), ["a"]);
    assert_eq!(names(&document(&server, "/api/v1/nodes")?), ["n1"]);
    server.release(Resource::Pods);
    assert_eq!(names(&document(&server, "/api/v1/pods")?), ["a", "b"]);
    Ok(())
}

#[test]
fn single_objects_and_what_is_missing() -> Result<()> {
    let server = ApiServer::start()?;
    server.put(Resource::Namespaces, json!({"metadata": {"name": "shop"}}));
    let found = document(&server, "/api/v1/namespaces/shop")?;
    assert_eq!(
        (&found["kind"], &found["apiVersion"]),
        (&json!("Namespace"), &json!("v1"))
    );
    let missing = ask(&server, "/api/v1/namespaces/shop/configmaps/x")?;
    assert_eq!(missing.status, 404);
    let missing = missing.json()?;
    assert_eq!(
        (
            &missing["kind"],
            &missing["status"],
            &missing["message"],
            &missing["code"]
        ),
        (
            &json!("Status"),
            &json!("Failure"),
            &json!("configmaps \"x\" not found"),
            &json!(404)
        )
    );
    assert_eq!(ask(&server, "/apis/apps/v1/deployments")?.status, 404);
    let header = format!("Authorization: Bearer {}\r\n", server.token());
    assert_eq!(request(&server, "DELETE", "/api/v1/pods", &header)?.status, 405);
    Ok(())
}

#[test]
fn only_the_token_opens() -> Result<()> {
    let server = ApiServer::start()?;
    for header in ["", "Authorization: Bearer wrong\r\n"] {
        let refused = request(&server, "GET", "/api/v1/pods", header)?;
        assert_eq!(refused.status, 401, "{header}");
        assert_eq!(refused.json()?["reason"], "Unauthorized");
    }
    assert_eq!(request(&server, "GET", "/readyz", "")?.text()?, "ok");
    assert!(document(&server, "/version")?["gitVersion"].is_string());
    let kubeconfig = fs::read_to_string(server.kubeconfig())?;
    for part in [
        format!("https://{}", server.address()),
        BASE64_STANDARD.encode(server.ca_pem()),
        server.token().to_owned(),
    ] {
        assert!(kubeconfig.contains(&part), "{part} in {kubeconfig}");
    }
    Ok(())
}

#[test]
fn tells_what_was_asked() -> Result<()> {
    let server = ApiServer::start()?;
    let _pods = document(
        &server,
        "/api/v1/namespaces/shop/pods?limit=5&fieldSelector=status.phase%3DRunning",
    )?;
    let _refused = ask(&server, "/api/v1/nodes?continue=x")?;
    let _watch = ask(&server, "/api/v1/services?watch=1&resourceVersion=1")?;
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(
        (asked[0].verb, asked[0].resource),
        (Some(Verb::List), Some(Resource::Pods))
    );
    assert_eq!((asked[0].namespace.as_deref(), asked[0].limit), (Some("shop"), Some(5)));
    assert_eq!(asked[0].field_selector.as_deref(), Some("status.phase=Running"));
    assert_eq!((asked[1].continued, asked[1].status), (true, Some(400)));
    assert_eq!((asked[2].verb, asked[2].status), (Some(Verb::Watch), Some(200)));
    assert_eq!(asked[2].resource_version.as_deref(), Some("1"));
    Ok(())
}

#[test]
fn nothing_is_left_of_it() -> Result<()> {
    let server = ApiServer::start()?;
    let (address, kubeconfig) = (server.address(), server.kubeconfig().to_owned());
    let mut watch = ask(&server, "/api/v1/pods?watch=1")?;
    drop(server);
    assert!(watch.event().is_err(), "the watch is torn");
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    assert!(!kubeconfig.exists());
    Ok(())
}
