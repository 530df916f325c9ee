//! What can be asked for, with parameters and answers.

use super::{
    super::{History, Paths, PointDetail, PointList, Status, WorkloadList},
    operation::{Operation, schema},
};
use crate::{
    draining::Drains,
    failures::{List, REASONS},
    points::{Kind, Mesh},
};
use schemars::SchemaGenerator;
use serde_json::{Value, json};

/// All of them.
pub fn operations(generator: &mut SchemaGenerator) -> Vec<Operation> {
    [points, point, workloads, paths, history, drains, failures, status]
        .into_iter()
        .map(|operation| operation(generator))
        .collect()
}

fn points(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        path: "/api/v1/points",
        name: "listPoints",
        summary: "The points, those with the most trouble first",
        description: "Ordered by severity and score of the trouble, then choke risk, then id. With `nodes=all`, an instance is listed as the agent of its \
                      own node tells of it, with what agents of its callers see in `views`; pages lead through the first 1,000.",
        parameters: vec![
            limit(100, 1_000),
            after(),
            choice("kind", "Only points of this kind.", &Kind::ALL.map(Kind::label)),
            choice("mesh", "Only points of this mesh.", &Mesh::ALL.map(Mesh::label)),
            namespace(),
            text(
                "search",
                "Only points with this text in name, instance, kind or mesh, in any case.",
            ),
            nodes(),
        ],
        schema: schema::<PointList>(generator),
        has_events: false,
    }
}

fn point(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        path: "/api/v1/points/{id}",
        name: "getPoint",
        summary: "Everything about a point",
        description: "The lists have at most `limits.dependents` workloads on each side; the sums of the others are told as such.",
        parameters: vec![json!({
            "name": "id", "in": "path", "required": true, "description": "The id of the point.", "schema": { "type": "string" },
        })],
        schema: schema::<PointDetail>(generator),
        has_events: false,
    }
}

fn workloads(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        path: "/api/v1/workloads",
        name: "listWorkloads",
        summary: "The workloads that depend on points or are served by them",
        description: "Ordered by namespace, name and principal. Workloads that no point tracks in detail are in the sums of each point.",
        parameters: vec![
            limit(100, 1_000),
            after(),
            namespace(),
            text(
                "search",
                "Only workloads with this text in namespace, name or principal, in any case.",
            ),
            point_id(),
        ],
        schema: schema::<WorkloadList>(generator),
        has_events: false,
    }
}

fn paths(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        path: "/api/v1/paths",
        name: "getPaths",
        summary: "The edges of a flow picture",
        description: "From dependents to points, and from points to the workloads that they serve. Those with traffic first, then by open connections, \
                      opened ones and name.",
        parameters: vec![
            limit(2_000, 20_000),
            after(),
            optional(
                "group",
                "What a node stands for.",
                &json!({ "type": "string", "enum": ["workload", "namespace"], "default": "workload" }),
            ),
            point_id(),
            choice(
                "kind",
                "Only edges of points of this kind.",
                &Kind::ALL.map(Kind::label),
            ),
            choice(
                "mesh",
                "Only edges of points of this mesh.",
                &Mesh::ALL.map(Mesh::label),
            ),
            text("namespace", "Only edges of workloads in this namespace."),
            text(
                "search",
                "Only edges with this text in name, instance, kind or mesh of the point, or in namespace, name or principal of the workload, \
                 in any case. Sums of workloads match with their point.",
            ),
            optional(
                "active",
                "Only edges with traffic in the window.",
                &json!({ "type": "boolean", "default": false }),
            ),
        ],
        schema: schema::<Paths>(generator),
        has_events: false,
    }
}

fn history(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        path: "/api/v1/history",
        name: "getHistory",
        summary: "The last hour of a point that runs on this node",
        description: "Kept in the agent's memory: it begins with the agent.",
        parameters: vec![
            json!({
                "name": "point", "in": "query", "required": true, "description": "The id of the point.",
                "schema": { "type": "string", "minLength": 1 },
            }),
            optional(
                "after_seconds",
                "Only samples after this time, in seconds since 1970: the last one that was received.",
                &json!({ "type": "number" }),
            ),
        ],
        schema: schema::<History>(generator),
        has_events: false,
    }
}

fn drains(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        path: "/api/v1/drains",
        name: "listDrains",
        summary: "Instances of points that are to go, and the connections that hang on them",
        description: "With `nodes=all`, those whose grace ends first at the beginning.",
        parameters: vec![nodes()],
        schema: schema::<Drains>(generator),
        has_events: false,
    }
}

fn failures(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        path: "/api/v1/failures",
        name: "listFailures",
        summary: "Failed connections one by one, the oldest first",
        description: "A list, or a stream of server-sent events (`start`, `failure`, `dropped`, `lost`) with `follow` or the header `Accept: text/event-stream`.",
        parameters: vec![
            text("point", "Only those at this point: its name, as <namespace>/<name>."),
            text(
                "workload",
                "Only those of this workload, at either end, as <namespace>/<name>.",
            ),
            choice("reason", "Only those with this reason.", &REASONS),
            text("since", "Only those of the last so much time, as in 90s or 5m."),
            optional(
                "limit",
                "The newest so many; for a list only.",
                &json!({ "type": "integer", "minimum": 1, "default": 1_000 }),
            ),
            optional(
                "from",
                "From this `seq` on; for a list only.",
                &json!({ "type": "integer", "minimum": 0 }),
            ),
            optional(
                "follow",
                "Whether it is to be a stream.",
                &json!({ "type": "boolean", "default": false }),
            ),
            optional(
                "run",
                "The `run` of an earlier answer, for a stream with `Last-Event-ID`.",
                &json!({ "type": "integer", "minimum": 0 }),
            ),
            nodes(),
        ],
        schema: schema::<List>(generator),
        has_events: true,
    }
}

fn status(generator: &mut SchemaGenerator) -> Operation {
    Operation {
        path: "/api/v1/status",
        name: "getStatus",
        summary: "The state of the agent",
        description: "Kernel programs, signals, kernel fields, what was lost, how full tables are, the cluster, the inventory.",
        parameters: Vec::new(),
        schema: schema::<Status>(generator),
        has_events: false,
    }
}

fn text(name: &str, description: &str) -> Value {
    optional(name, description, &json!({ "type": "string", "minLength": 1 }))
}

fn choice(name: &str, description: &str, all: &[&str]) -> Value {
    optional(name, description, &json!({ "type": "string", "enum": all }))
}

fn point_id() -> Value {
    text("point", "The id of a point.")
}

fn namespace() -> Value {
    text("namespace", "Only what is in this namespace.")
}

fn nodes() -> Value {
    let schema = json!({ "type": "string", "enum": ["own", "all"], "default": "own" });
    optional(
        "nodes",
        "Whose answer: that of this agent, or one made of those of all its peers as well.",
        &schema,
    )
}

fn after() -> Value {
    text("after", "`next` of the page before.")
}

fn optional(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn limit(default: usize, most: usize) -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default });
    optional("limit", "At most so many items.", &schema)
}
