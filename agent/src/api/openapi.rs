//! The OpenAPI document of the API: its schemas come from the types of the answers, so that they cannot differ.

use super::{History, Paths, PointDetail, PointList, Problem, WorkloadList};
use crate::{
    draining::Drains,
    points::{Kind, Mesh},
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// A path, without parameters in it unless `id`.
struct Operation {
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    schema: Value,
    /// Whether it names a point, which may not be there.
    may_be_missing: bool,
}

/// The document, as served at `/api/v1/openapi.json` and kept in `docs/openapi.json`.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let operations = operations(&mut generator);
    let problem = schema::<Problem>(&mut generator);
    let paths: Map<_, _> = operations
        .into_iter()
        .map(|operation| (operation.path.to_owned(), operation.into_value(&problem)))
        .collect();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Narrows",
            "version": "1",
            "summary": "What the agent of a node knows of its enforcement points.",
            "description": "Names carry units: _seconds, _bytes, _ratio (0 to 1), _per_second (over the last tick), _total. What is not \
                known is null, never 0. Fields and values may be added within version 1; nothing is removed or renamed.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn operations(generator: &mut SchemaGenerator) -> Vec<Operation> {
    let kinds: Vec<_> = Kind::ALL.map(Kind::label).into();
    let meshes: Vec<_> = Mesh::ALL.map(Mesh::label).into();
    let point = || {
        optional(
            "point",
            "The id of a point.",
            &json!({ "type": "string", "minLength": 1 }),
        )
    };
    let namespace = || {
        optional(
            "namespace",
            "Only what is in this namespace.",
            &json!({ "type": "string", "minLength": 1 }),
        )
    };
    let search = |of| optional("search", of, &json!({ "type": "string", "minLength": 1 }));
    let after = || {
        optional(
            "after",
            "`next` of the page before.",
            &json!({ "type": "string", "minLength": 1 }),
        )
    };
    vec![
        Operation {
            path: "/api/v1/points",
            name: "listPoints",
            summary: "The points, those with the most trouble first",
            description: "Ordered by severity and score of the trouble, then choke risk, then id.",
            parameters: vec![
                limit(100, 1_000),
                after(),
                optional(
                    "kind",
                    "Only points of this kind.",
                    &json!({ "type": "string", "enum": kinds }),
                ),
                optional(
                    "mesh",
                    "Only points of this mesh.",
                    &json!({ "type": "string", "enum": meshes }),
                ),
                namespace(),
                search("Only points with this text in name, instance, kind or mesh, in any case."),
            ],
            schema: schema::<PointList>(generator),
            may_be_missing: false,
        },
        Operation {
            path: "/api/v1/points/{id}",
            name: "getPoint",
            summary: "Everything about a point",
            description: "The lists have at most `limits.dependents` workloads on each side; the sums of the others are told as such.",
            parameters: vec![json!({
                "name": "id", "in": "path", "required": true, "description": "The id of the point.", "schema": { "type": "string" },
            })],
            schema: schema::<PointDetail>(generator),
            may_be_missing: true,
        },
        Operation {
            path: "/api/v1/workloads",
            name: "listWorkloads",
            summary: "The workloads that depend on points or are served by them",
            description: "Ordered by namespace, name and principal. Workloads that no point tracks in detail are in the sums of each point.",
            parameters: vec![
                limit(100, 1_000),
                after(),
                namespace(),
                search("Only workloads with this text in namespace, name or principal, in any case."),
                point(),
            ],
            schema: schema::<WorkloadList>(generator),
            may_be_missing: true,
        },
        Operation {
            path: "/api/v1/paths",
            name: "getPaths",
            summary: "The edges of a flow picture",
            description: "From dependents to points, and from points to the workloads that they serve.",
            parameters: vec![
                limit(2_000, 20_000),
                optional(
                    "group",
                    "What a node stands for.",
                    &json!({ "type": "string", "enum": ["workload", "namespace"], "default": "workload" }),
                ),
                point(),
                namespace(),
                optional(
                    "active",
                    "Only edges with traffic in the window.",
                    &json!({ "type": "boolean", "default": false }),
                ),
            ],
            schema: schema::<Paths>(generator),
            may_be_missing: true,
        },
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
            may_be_missing: true,
        },
        Operation {
            path: "/api/v1/drains",
            name: "listDrains",
            summary: "Instances of points that are to go, and the connections that hang on them",
            description: "",
            parameters: Vec::new(),
            schema: schema::<Drains>(generator),
            may_be_missing: false,
        },
    ]
}

impl Operation {
    fn into_value(self, problem: &Value) -> Value {
        let answer = |description: &str, schema: &Value| json!({ "description": description, "content": { "application/json": { "schema": schema } } });
        let mut responses = Map::new();
        responses.insert("200".into(), answer("The answer.", &self.schema));
        if !self.parameters.is_empty() {
            responses.insert("400".into(), answer("A parameter is unknown or not valid.", problem));
        }
        if self.may_be_missing {
            responses.insert("404".into(), answer("There is no such point.", problem));
        }
        json!({
            "get": {
                "operationId": self.name,
                "summary": self.summary,
                "description": self.description,
                "parameters": self.parameters,
                "responses": responses,
            },
        })
    }
}

fn optional(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn limit(default: usize, most: usize) -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default });
    optional("limit", "At most so many items.", &schema)
}
