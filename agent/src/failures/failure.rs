//! A failed connection as the JSON object of `/api/v1/failures` and `--log-failures`. Part of the interface.

use crate::points::{Kind, Mesh};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, net::SocketAddr};

/// A failed connection, as observed by one of its ends on this node.
///
/// ```json
/// {
///   "seq": 17, "time": "2025-11-23T09:12:03.045Z",
///   "vantage": "client",
///   "point": { "name": "shop/waypoint", "kind": "waypoint", "mesh": "istio", "instance": "waypoint-6f7d9c8b5d-x2x7k" },
///   "side": "upstream",
///   "owner": { "type": "workload", "name": "shop/checkout", "kind": "Deployment",
///              "principal": "spiffe://cluster.local/ns/shop/sa/checkout" },
///   "peer": { "type": "point", "name": "shop/waypoint", "kind": "waypoint", "mesh": "istio",
///             "instance": "waypoint-6f7d9c8b5d-x2x7k" },
///   "local_address": "10.90.0.11:43210", "peer_address": "10.90.0.2:15008", "service_port": 15008,
///   "reason": "refused", "phase": "handshake", "duration_seconds": null,
///   "sent_bytes": 0, "received_bytes": 0, "retransmits": 0
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Its number: from 1 on, without gaps while the agent runs. After a restart, numbers restart at 1.
    pub seq: u64,
    /// When it failed: RFC 3339, UTC, to the millisecond.
    pub time: String,
    /// Which end of the point's connection observed it; absent when no point is involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vantage: Option<Vantage>,
    /// The point that it is about: the owner of the socket, else the point that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointName>,
    /// Whether the socket accepted or opened the connection.
    pub side: Side,
    /// The owner of the socket.
    pub owner: End,
    /// The other end of the connection.
    pub peer: End,
    /// For a connection that a point had opened, the caller for whom it was opened or whose data it carried last, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<End>,
    /// How the caller is known: `certain` or `estimated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_certainty: Option<Cow<'static, str>>,
    /// The socket's own address; `null` when it had none.
    pub local_address: Option<SocketAddr>,
    /// The other end's address; an IPv4 address is written as such, also for an IPv6 socket.
    pub peer_address: Option<SocketAddr>,
    /// The port that was called, at either end.
    pub service_port: u16,
    /// The `reason` label of the counters.
    pub reason: Cow<'static, str>,
    /// The `phase` label of the counters.
    pub phase: Cow<'static, str>,
    /// For how long the connection was known, in seconds; `null` for one that began and ended between two ticks.
    pub duration_seconds: Option<f64>,
    /// Payload bytes that it had sent, without retransmissions.
    pub sent_bytes: u64,
    /// Payload bytes that it had received.
    pub received_bytes: u64,
    /// Segments that it retransmitted, including SYNs.
    pub retransmits: u32,
    /// The node whose agent says this; absent unless all nodes were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// The end that observed a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FailureVantage")]
pub enum Vantage {
    /// The point's own socket.
    #[serde(rename = "self")]
    Own,
    /// The socket of a caller of the point.
    Client,
}

impl Vantage {
    /// The value in JSON, and in the column SEEN BY.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Client => "client",
        }
    }
}

/// The side of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FailureSide")]
pub enum Side {
    /// The socket accepted the connection.
    Downstream,
    /// The socket opened the connection.
    Upstream,
}

/// An instance of an enforcement point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FailurePoint")]
pub struct PointName {
    /// Its name, as `<namespace>/<name>`.
    pub name: String,
    /// Its role in the mesh.
    pub kind: Kind,
    /// The mesh that it belongs to.
    pub mesh: Mesh,
    /// The pod or unit, if known: it is not when a service's address was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// A workload, by name and identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FailureWorkload")]
pub struct WorkloadName {
    /// Its name, as `<namespace>/<name>`.
    pub name: String,
    /// `Deployment`, `StatefulSet`, …; `Service` for a service whose backends are not distinguished; `Workload` for an entry of
    /// the inventory.
    pub kind: String,
    /// Its identity in the form of its mesh; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "FailureEnd")]
pub enum End {
    /// A workload of the cluster or of the inventory.
    Workload(WorkloadName),
    /// An instance of an enforcement point.
    Point {
        /// The name, kind, mesh and instance of the point.
        #[serde(flatten)]
        point: PointName,
        /// The workload on whose behalf it acted, for a proxy in its workload's network namespace.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        acts_for: Option<WorkloadName>,
    },
    /// The machine itself, for example the kubelet.
    Node,
    /// An address outside the cluster.
    External {
        /// The named range that the address is in, if there is one (`networks` in the configuration).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// An end that could not be identified.
    Unknown,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::failures) fn workload(name: &str) -> WorkloadName {
        WorkloadName {
            name: name.to_owned(),
            kind: "Deployment".to_owned(),
            principal: Some(format!("spiffe://cluster.local/{name}")),
        }
    }

    pub(in crate::failures) fn point(name: &str) -> PointName {
        PointName {
            name: name.to_owned(),
            kind: Kind::Waypoint,
            mesh: Mesh::Istio,
            instance: Some("waypoint-1".to_owned()),
        }
    }

    /// A refused call to a waypoint.
    pub(in crate::failures) fn refused() -> Failure {
        Failure {
            caller: None,
            caller_certainty: None,
            seq: 17,
            time: "2025-11-23T09:12:03.045Z".to_owned(),
            vantage: Some(Vantage::Client),
            point: Some(point("shop/waypoint")),
            side: Side::Upstream,
            owner: End::Workload(workload("shop/checkout")),
            peer: End::Point {
                point: point("shop/waypoint"),
                acts_for: None,
            },
            local_address: "10.90.0.11:43210".parse().ok(),
            peer_address: "[fd00:90::2]:15008".parse().ok(),
            service_port: 15008,
            reason: "refused".into(),
            phase: "handshake".into(),
            duration_seconds: None,
            sent_bytes: 0,
            received_bytes: 0,
            retransmits: 0,
            node: None,
        }
    }

    #[test]
    fn the_json_is_as_documented() {
        let failure = refused();
        let json = serde_json::to_value(&failure).expect("JSON");
        let expected = serde_json::json!({
            "seq": 17, "time": "2025-11-23T09:12:03.045Z", "vantage": "client",
            "point": { "name": "shop/waypoint", "kind": "waypoint", "mesh": "istio", "instance": "waypoint-1" },
            "side": "upstream",
            "owner": { "type": "workload", "name": "shop/checkout", "kind": "Deployment",
                       "principal": "spiffe://cluster.local/shop/checkout" },
            "peer": { "type": "point", "name": "shop/waypoint", "kind": "waypoint", "mesh": "istio", "instance": "waypoint-1" },
            "local_address": "10.90.0.11:43210", "peer_address": "[fd00:90::2]:15008", "service_port": 15008,
            "reason": "refused", "phase": "handshake", "duration_seconds": null,
            "sent_bytes": 0, "received_bytes": 0, "retransmits": 0,
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Failure>(json).expect("itself"), failure);
    }

    #[test]
    fn every_end_can_be_written_and_read() {
        let acting = End::Point {
            point: PointName {
                kind: Kind::Ztunnel,
                instance: None,
                ..point("istio-system/ztunnel")
            },
            acts_for: Some(workload("shop/checkout")),
        };
        let nameless = End::Workload(WorkloadName {
            principal: None,
            ..workload("a/b")
        });
        let network = End::External {
            name: Some("rds".to_owned()),
        };
        let external = End::External { name: None };
        for end in [acting, nameless, End::Node, network, external, End::Unknown] {
            let json = serde_json::to_string(&end).expect("JSON");
            assert_eq!(serde_json::from_str::<End>(&json).expect("itself"), end, "{json}");
            assert!(!json.contains("null"), "{json}");
        }
        // A later version may add fields.
        let more = serde_json::from_str(r#"{"type":"node","zone":"a"}"#);
        assert_eq!(more.ok(), Some(End::Node));
    }

    #[test]
    fn where_no_point_is_concerned_none_is_named() {
        let failure = Failure {
            vantage: None,
            point: None,
            duration_seconds: Some(1.5),
            ..refused()
        };
        let json = serde_json::to_value(&failure).expect("JSON");
        assert!(json.get("vantage").is_none() && json.get("point").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<Failure>(json).expect("itself"), failure);
    }
}
