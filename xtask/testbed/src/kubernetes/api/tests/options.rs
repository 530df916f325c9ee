//! Tests of what depends on headers, on options, and on the server's version and state.

use std::io::Read as _;

use anyhow::Result;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::super::{ApiServer, Resource};
use super::client::{ask, document, request};
use super::{names, pod};

fn with(server: &ApiServer, path: &str, header: &str) -> Result<super::client::Answer> {
    let header = format!("Authorization: Bearer {}\r\n{header}\r\n", server.token());
    request(server, "GET", path, &header)
}

#[test]
fn long_lists_are_compressed_for_who_accepts_it_and_watches_are_not() -> Result<()> {
    let server = ApiServer::start()?;
    server.put_all(Resource::Pods, (0..1000).map(|n| pod(&format!("pod-{n}"), "n1")));
    const GZIP: &str = "Accept-Encoding: gzip";
    let plain = ask(&server, "/api/v1/pods")?;
    assert_eq!(plain.header("content-encoding"), None);
    let plain = plain.text()?;
    let answer = with(&server, "/api/v1/pods", GZIP)?;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let bytes = answer.bytes()?;
    let mut text = String::new();
    GzDecoder::new(&*bytes).read_to_string(&mut text)?;
    assert_eq!(text, plain);
    let asked = server.asked();
    assert_eq!((asked[0].gzip, asked[1].gzip), (false, true));
    assert_eq!(
        (asked[0].bytes(), asked[1].bytes()),
        (plain.len() as u64, bytes.len() as u64)
    );
    for short in ["/api/v1/pods?limit=1", "/api/v1/pods?watch=1"] {
        let answer = with(&server, short, GZIP)?;
        assert_eq!(answer.header("content-encoding"), None, "{short}");
    }
    Ok(())
}

#[test]
fn metadata_alone_in_lists_and_watches() -> Result<()> {
    let server = ApiServer::start()?;
    server.put(Resource::Pods, pod("a", "n1"));
    let list = "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list: Value = with(&server, "/api/v1/pods", list)?.json()?;
    let kind = |object: &Value| (object["kind"].clone(), object["apiVersion"].clone());
    let expected = |kind: &str| (json!(kind), json!("meta.k8s.io/v1"));
    assert_eq!(kind(&list), expected("PartialObjectMetadataList"));
    let item = &list["items"][0];
    assert_eq!(kind(item), expected("PartialObjectMetadata"));
    assert_eq!(item["metadata"]["labels"]["app"], "a");
    assert!(item.get("spec").is_none() && item.get("status").is_none(), "{item}");

    let watch = "Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let mut watch = with(&server, "/api/v1/pods?watch=1&allowWatchBookmarks=1", watch)?;
    let added = watch.event()?.expect("an event");
    assert_eq!((&added["type"], &added["object"]), (&json!("ADDED"), item));
    server.bookmark();
    let bookmark = watch.event()?.expect("an event");
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(kind(&bookmark["object"]), expected("PartialObjectMetadata"));
    Ok(())
}

#[test]
fn options_that_do_not_fit_are_invalid() -> Result<()> {
    let server = ApiServer::start()?;
    const INITIAL: &str = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    for (minor, query, field) in [
        (31, INITIAL, Some("sendInitialEvents")),
        (31, "sendInitialEvents=true", Some("sendInitialEvents")),
        (32, INITIAL, None),
        (32, "watch=1&sendInitialEvents=true", Some("resourceVersionMatch")),
        (
            32,
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
            Some("sendInitialEvents"),
        ),
        (34, "resourceVersionMatch=NotOlderThan", Some("resourceVersionMatch")),
        (34, "resourceVersion=0&resourceVersionMatch=NotOlderThan", None),
        (
            34,
            "resourceVersion=0&resourceVersionMatch=Exact",
            Some("resourceVersionMatch"),
        ),
        (
            34,
            "resourceVersion=0&resourceVersionMatch=Other",
            Some("resourceVersionMatch"),
        ),
        (
            34,
            "resourceVersion=1&resourceVersionMatch=NotOlderThan&continue=x",
            Some("resourceVersionMatch"),
        ),
        (
            34,
            "watch=1&resourceVersion=1&resourceVersionMatch=NotOlderThan",
            Some("resourceVersionMatch"),
        ),
        (30, "somethingElse=1", None),
    ] {
        server.is_version(minor);
        let answer = ask(&server, &format!("/api/v1/pods?{query}"))?;
        match field {
            None => assert_eq!(answer.status, 200, "1.{minor}: {query}"),
            Some(field) => {
                assert_eq!(answer.status, 422, "1.{minor}: {query}");
                let status = answer.json()?;
                assert_eq!(status["reason"], "Invalid");
                assert_eq!(status["details"]["causes"][0]["field"], field, "{query}");
            }
        }
    }
    server.is_version(30);
    assert_eq!(document(&server, "/version")?["gitVersion"], "v1.30.0");
    Ok(())
}

#[test]
fn without_its_roles_it_refuses_everything() -> Result<()> {
    let server = ApiServer::start()?;
    server.put(Resource::Pods, pod("a", "n1"));
    server.forget_roles();
    for path in ["/api/v1/pods", "/api/v1/nodes?watch=1", "/api/v1/namespaces/shop"] {
        assert_eq!(ask(&server, path)?.status, 403, "{path}");
    }
    assert_eq!(ask(&server, "/readyz")?.status, 200);
    server.load_roles();
    assert_eq!(names(&document(&server, "/api/v1/pods")?), ["a"]);
    Ok(())
}
