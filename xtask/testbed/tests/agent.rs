//! The guard of the agent says why there is none. What it does with a real one, the agent's own tests show.

use std::path::Path;

use narrows_testbed::agent::Agent;

#[test]
fn a_missing_binary_is_an_error_that_says_what_to_do() {
    let error = Agent::start(Path::new("/nowhere/narrows"), "", &[]).map(drop);
    let text = error.map_err(|error| format!("{error:#}"));
    assert!(
        text.as_ref()
            .is_err_and(|text| text.contains("cargo build --release -p narrows")),
        "{text:?}"
    );
}

#[test]
fn a_process_that_ends_at_once_is_an_error_with_its_stderr() {
    // It takes the word `agent` for a file that does not exist.
    let error = Agent::start(Path::new("/bin/cat"), "", &[]).map(drop);
    let text = error.map_err(|error| format!("{error:#}"));
    assert!(
        text.as_ref().is_err_and(|text| text.contains("before it was ready")),
        "{text:?}"
    );
    assert!(text.as_ref().is_err_and(|text| text.contains("cat:")), "{text:?}");
}
