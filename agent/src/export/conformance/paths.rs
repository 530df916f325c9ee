//! Edges of the flow picture: in pages, and by filters.

use super::{Server, node};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn edges(paths: &Value) -> Vec<(String, String)> {
    let all = paths["edges"].as_array().expect("a list").iter();
    let end = |edge: &Value, name: &str| edge[name].as_str().expect("an end").to_owned();
    all.map(|edge| (end(edge, "from"), end(edge, "to"))).collect()
}

#[tokio::test]
async fn pages_cover_every_edge_once() {
    let (publisher, _) = node();
    let server = Server::new(&publisher);
    let all = server.good("/api/v1/paths").await;
    assert_eq!((&all["next"], &all["omitted_edges"]), (&Value::Null, &json!(0)));
    let all = edges(&all);
    assert!(all.len() > 40, "{}", all.len());
    let (mut found, mut target) = (Vec::new(), "/api/v1/paths?limit=20".to_owned());
    loop {
        let page = server.good(&target).await;
        let here = edges(&page);
        assert_eq!(page["total_edges"], json!(all.len()));
        assert_eq!(page["omitted_edges"], json!(all.len() - here.len()));
        let nodes: BTreeSet<_> = page["nodes"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|node| node["id"].as_str())
            .collect();
        for (from, to) in &here {
            assert!(
                nodes.contains(&Some(from.as_str())) && nodes.contains(&Some(to.as_str())),
                "{from} {to}"
            );
        }
        found.extend(here);
        match page["next"].as_str() {
            Some(next) => target = format!("/api/v1/paths?limit=20&after={next}"),
            None => break,
        }
        assert!(found.len() < all.len());
    }
    assert_eq!(found, all, "in the same order");
}

#[tokio::test]
async fn a_search_finds_what_a_limit_leaves_out() {
    let (publisher, _) = node();
    let server = Server::new(&publisher);
    let has = |paths: &Value, part: &str| {
        edges(paths)
            .iter()
            .any(|(from, to)| format!("{from} {to}").contains(part))
    };
    let few = server.good("/api/v1/paths?limit=2").await;
    assert!(!has(&few, "workload-10"), "{few}");
    let found = server.good("/api/v1/paths?limit=2&search=WORKLOAD-10").await;
    assert_eq!(edges(&found).len(), 1, "{found}");
    assert!(has(&found, "workload-10"), "{found}");
    // Whose name is searched for is shown with all that it has, sums as well; the others are not.
    let of_point = server.good("/api/v1/paths?search=point-7").await;
    assert!(
        edges(&of_point)
            .iter()
            .all(|(from, to)| from.contains("point-7") || to.contains("point-7"))
    );
    assert!(has(&of_point, "_other") && has(&of_point, "workload-0"), "{of_point}");
    let points = |paths: &Value| {
        let nodes = paths["nodes"].as_array().expect("a list").iter();
        nodes
            .filter(|node| node["type"] == "point")
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(points(&of_point).len(), 1);
    assert_eq!(
        points(&server.good("/api/v1/paths?search=nothing-of-that-name").await),
        [] as [Value; 0]
    );
    let waypoints = points(&server.good("/api/v1/paths?kind=waypoint").await);
    assert_eq!(waypoints.len(), 2);
    assert!(
        waypoints.iter().all(|point| point["kind"] == "waypoint"),
        "{waypoints:?}"
    );
}

#[tokio::test]
async fn points_have_their_severity() {
    let (publisher, _) = node();
    let server = Server::new(&publisher);
    let paths = server.good("/api/v1/paths").await;
    for node in paths["nodes"].as_array().expect("a list") {
        let is_point = node["type"] == "point";
        assert_eq!(node["severity"].is_string(), is_point, "{node}");
    }
}
