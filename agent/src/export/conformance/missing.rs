//! What a kernel lacks is `null` with its cause, and never 0.

use super::{Server, published, shape};
use crate::{
    api::point_id,
    export::{snapshot::Snapshot, synthetic::snapshot},
    metrics::Details,
};
use agent_common::Field;
use serde_json::{Value, json};

#[tokio::test]
async fn what_this_kernel_lacks_is_said() {
    let mut snapshot = snapshot(&[shape(0)], 20, Details::default());
    snapshot.points[0].load.processes = 1;
    for field in &mut snapshot.kernel.fields {
        field.offset = None;
        field.reason = Some("this kernel has none".to_owned());
    }
    snapshot
        .kernel
        .programs
        .iter_mut()
        .for_each(|status| status.switch_off("too old".to_owned()));
    let server = Server::new(&published([snapshot]));
    let list = server.good("/api/v1/points").await;
    let point = &list["points"][0];
    let resources = point["saturation"]["resources"].as_array().expect("a list");
    for resource in resources {
        assert_eq!(
            resource["ratio"].is_null(),
            resource["missing"].is_string(),
            "{resource}"
        );
    }
    let backlog = resources
        .iter()
        .find(|resource| resource["resource"] == "backlog")
        .expect("there");
    assert!(
        backlog["missing"]
            .as_str()
            .is_some_and(|why| why.contains("this kernel has none")),
        "{backlog}"
    );
    let read = point["delays"]["read_missing"].as_str().expect("a reason");
    assert_eq!(read, "kernel program data_arrived is off: too old");
    let id = point["id"].as_str().expect("an identifier");
    let detail = server.good(&format!("/api/v1/points/{id}")).await;
    for (name, why) in detail["missing"].as_object().expect("reasons") {
        assert!(why.is_string(), "{name}: {why}");
    }
}

/// What is inside a point when one program or field is missing, by the name of what then has no value.
async fn inside_without(change: impl Fn(&mut Snapshot)) -> Value {
    let mut snapshot = snapshot(&[shape(0)], 20, Details::default());
    snapshot.points[0].load.processes = 1;
    change(&mut snapshot);
    let id = point_id(&snapshot.points[0].load.point);
    let server = Server::new(&published([snapshot]));
    server.good(&format!("/api/v1/points/{id}")).await
}

fn switch_off(snapshot: &mut Snapshot, program: &str) {
    let mut all = snapshot.kernel.programs.iter_mut();
    let status = all.find(|status| status.program == program).expect("a program");
    status.switch_off("too old".to_owned());
}

#[tokio::test]
async fn without_the_walk_nothing_of_it_is_zero() {
    let detail = inside_without(|snapshot| switch_off(snapshot, "walk")).await;
    let why = json!("kernel program walk is off: too old");
    for resource in detail["point"]["saturation"]["resources"].as_array().expect("a list") {
        if ["accept_queue", "backlog", "ephemeral_ports"].contains(&resource["resource"].as_str().expect("a name")) {
            assert_eq!(
                (&resource["ratio"], &resource["missing"]),
                (&Value::Null, &why),
                "{resource}"
            );
        }
    }
    let side = json!({ "unread_bytes": null, "unacknowledged_bytes": null, "stalled_unread_connections": null });
    assert_eq!(detail["sockets"], json!({ "downstream": side, "upstream": side }));
    assert_eq!(detail["accept_queues"], Value::Null);
    assert_eq!(detail["ages"]["open"], Value::Null);
    let missing = &detail["missing"];
    for name in [
        "accept_queues",
        "queued_connections",
        "accept_queue_drops",
        "unread_bytes",
        "unacknowledged_bytes",
        "ages",
    ] {
        assert_eq!(missing[name], why, "{name}");
    }
    assert_eq!((&missing["drops"], &missing["exits"]), (&Value::Null, &Value::Null));
    let signals = detail["signals"].as_array().expect("a list");
    let walk = signals.iter().find(|signal| signal["name"] == "walk");
    assert_eq!(walk.expect("it is a signal about points")["reason"], "too old");
}

#[tokio::test]
async fn drops_that_cannot_be_seen_are_not_zero() {
    let detail = inside_without(|_| ()).await;
    assert_eq!(
        (&detail["drops"], &detail["accept_queues"][0]["drops_total"]),
        (&json!([]), &json!(0))
    );
    let detail = inside_without(|snapshot| switch_off(snapshot, "packet_dropped")).await;
    assert_eq!(detail["drops"], Value::Null);
    assert_eq!(
        detail["missing"]["drops"],
        "kernel program packet_dropped is off: too old"
    );
    let detail = inside_without(|snapshot| {
        let mut all = snapshot.kernel.fields.iter_mut();
        let field = all.find(|field| field.place == Field::sk_drops).expect("a field");
        (field.offset, field.reason) = (None, Some("this kernel has none".to_owned()));
    })
    .await;
    assert_eq!(detail["accept_queues"][0]["drops_total"], Value::Null);
    assert_eq!(detail["accept_queues"][0]["queued_connections"], json!(0));
    let why = detail["missing"]["accept_queue_drops"].as_str().expect("a reason");
    assert!(why.contains("this kernel has none"), "{why}");
}

#[tokio::test]
async fn what_is_inside_a_point_elsewhere_is_missing() {
    let detail = inside_without(|snapshot| snapshot.points[0].load.local = false).await;
    for name in ["accept_queues", "threads", "sockets", "drops", "exits"] {
        assert_eq!(detail[name], Value::Null, "{name}");
    }
    for (name, why) in detail["missing"].as_object().expect("reasons") {
        assert_eq!(
            why, "the point does not run on this node: ask the agent of its node",
            "{name}"
        );
    }
}
