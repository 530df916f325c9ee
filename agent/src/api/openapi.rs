//! The OpenAPI document of the API: its schemas come from the types of the answers, so that they cannot differ.

mod operations;

use super::Problem;
use operations::operations;
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
    /// Whether it can be followed, by a bounded number of clients.
    has_events: bool,
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

impl Operation {
    fn into_value(self, problem: &Value) -> Value {
        let answer = |description: &str, schema: &Value| json!({ "description": description, "content": { "application/json": { "schema": schema } } });
        let mut good = answer("The answer.", &self.schema);
        let mut problems = vec![
            ("400", "A parameter is unknown or not valid."),
            ("421", "The API is not served at this address."),
            ("500", "The answer cannot be built."),
        ];
        if self.may_be_missing {
            problems.push(("404", "There is no such point."));
        }
        if self.has_events {
            good["content"]["text/event-stream"] = json!({ "schema": { "type": "string" } });
            problems.push(("503", "As many clients follow as may."));
        }
        let problems = problems
            .into_iter()
            .map(|(status, why)| (status.to_owned(), answer(why, problem)));
        let responses: Map<_, _> = [("200".to_owned(), good)].into_iter().chain(problems).collect();
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
