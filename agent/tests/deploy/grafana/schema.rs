//! The dashboards against the schema that Grafana publishes: see `schema/README.md`.

use super::all;
use serde_json::Value;

/// The oldest Grafana that they are for, and the newest whose schema is here.
const SCHEMAS: [(&str, &str); 2] = [
    ("10", include_str!("schema/grafana-10.json")),
    ("13", include_str!("schema/grafana-13.json")),
];

#[test]
fn dashboards_fit_the_schemas_of_the_oldest_and_the_newest_grafana() {
    for (version, schema) in SCHEMAS {
        let schema: Value = serde_json::from_str(schema).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        for (name, dashboard) in all() {
            let errors: Vec<String> = validator
                .iter_errors(&dashboard)
                .map(|error| format!("{}: {}", error.instance_path(), error.masked()))
                .collect();
            assert!(errors.is_empty(), "{name}.json, Grafana {version}: {errors:#?}");
        }
        let mut wrong = all()["overview"].clone();
        wrong["panels"][0]["options"]["colourMode"] = "value".into();
        assert!(
            !validator.is_valid(&wrong),
            "the schema of Grafana {version} accepts anything"
        );
    }
}
