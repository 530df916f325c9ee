//! The API of a real agent, asked whatever its document allows, and much that it does not: it has an answer to everything, as the
//! document says.

mod common;

use common::{World, inventory, start, v4};
use narrows_testbed::{
    command,
    load::{Behaviour, Plan, Server},
    tools::tool,
};
use std::{fs, process::Command};

/// What is checked of each answer. Not whether every value that a schema allows is taken: an `after` is of the list as it was, and
/// parameters exclude each other.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance";

/// How long all of it lasts: more requests are made up until then, in seconds.
const LONGEST: &str = "40";

/// After this time an answer is taken for a stream of events, in seconds.
const STREAM: &str = "2";

/// Requests that are made up for each path in one turn, beside those at the limits of each parameter.
const EXAMPLES: &str = "40";

#[test]
fn the_api_answers_everything_as_its_document_says() {
    let world = World::new();
    let (checkout, waypoint) = (world.workload("checkout", 11), world.workload("waypoint", 2));
    let agent = start(&inventory(&[&checkout], &[&waypoint]));
    let _server = waypoint
        .run(|| Server::start(v4(2, 15008), Behaviour::default()))
        .expect("it listens");
    assert_eq!(checkout.run(|| Plan::burst(v4(2, 15008), 10).run()).ok, 10);
    agent.wait_for("the connections", |metrics| {
        metrics.sum("narrows_dependent_connections_total", &[]) == 10.0
    });
    let points = agent.get_json("/api/v1/points");
    let id = points["points"][0]["id"].as_str().expect("a point");

    let directory = tempfile::tempdir().expect("a directory");
    // Half of the requests about a point are about one that there is.
    // What takes too long once is asked again: an agent that stands still does not answer, and neither does its machine.
    let config = format!(
        "request-retries = 3\n[dictionaries]\npoints = {{ values = [\"{id}\"] }}\n\
         [parameters]\n\"path.id\" = {{ dictionary = \"points\", probability = 0.5 }}\n\
         \"query.point\" = {{ dictionary = \"points\", probability = 0.5 }}\n"
    );
    let file = directory.path().join("schemathesis.toml");
    fs::write(&file, config).expect("written");
    let mut schemathesis = Command::new(tool("schemathesis").expect("schemathesis"));
    schemathesis.arg("--config-file").arg(&file);
    schemathesis.args(["--no-color", "run"]);
    schemathesis.arg(format!("http://{}/api/v1/openapi.json", agent.address()));
    schemathesis.args([
        "--phases",
        "coverage,fuzzing",
        "--checks",
        CHECKS,
        "--continue-on-failure",
    ]);
    schemathesis.args([
        "--max-time",
        LONGEST,
        "--request-timeout",
        STREAM,
        "--max-examples",
        EXAMPLES,
    ]);
    // The same requests each time.
    schemathesis.args(["--seed", "1"]).current_dir(directory.path());
    let output = command::output(&mut schemathesis).expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("Tested: 8"), "{said}");
    agent.settle();
}
