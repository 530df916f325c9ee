//! The OpenAPI document of the API: its schemas come from the types of the answers, so that they cannot differ.

mod operation;
mod operations;

use super::Problem;
use operation::schema;
use operations::operations;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

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
