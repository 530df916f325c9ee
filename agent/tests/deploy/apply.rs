//! The base applied twice to an API server that stores objects as a real one does: the second time nothing changes.

use crate::manifests::{deploy, succeed};
use narrows_testbed::{command, kubernetes::ApiServer, tools::tool};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    process::{Command, Output},
};

const SERVER_SIDE: &[&str] = &["--server-side"];

/// Applies the base with these flags.
fn apply(server: &ApiServer, flags: &[&str]) -> Command {
    let mut kubectl = Command::new(tool("kubectl").expect("a kubectl"));
    // The API server of the testbed has no schemas to validate by; other tests do that.
    kubectl.args(["apply", "--validate=false", "--request-timeout=30s", "-k"]);
    kubectl.arg(deploy().join("kubernetes")).args(flags);
    // What kubectl learns of a server, it keeps in the home directory.
    let home = server.kubeconfig().parent().expect("a directory");
    kubectl.env("KUBECONFIG", server.kubeconfig()).env("HOME", home);
    kubectl
}

fn server() -> ApiServer {
    ApiServer::start().expect("an API server")
}

/// What kubectl says of each object.
fn lines(output: &Output) -> Vec<String> {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

/// The objects that are new or not as they were.
fn changed<'a>(before: &BTreeMap<String, Value>, after: &'a BTreeMap<String, Value>) -> Vec<(&'a String, &'a Value)> {
    after
        .iter()
        .filter(|(path, object)| before.get(*path) != Some(object))
        .collect()
}

#[test]
fn plainly_the_second_time_changes_nothing() {
    let server = server();
    let first = lines(&succeed(&mut apply(&server, &[])));
    assert!(
        first.len() >= 7 && first.iter().all(|line| line.ends_with(" created")),
        "{first:?}"
    );
    let before = server.written();
    let second = lines(&succeed(&mut apply(&server, &[])));
    assert_eq!(second.len(), first.len());
    assert!(second.iter().all(|line| line.ends_with(" unchanged")), "{second:?}");
    let after = server.written();
    assert!(changed(&before, &after).is_empty(), "{:?}", changed(&before, &after));
}

#[test]
fn on_the_server_the_second_time_changes_nothing() {
    let server = server();
    let first = lines(&succeed(&mut apply(&server, SERVER_SIDE)));
    assert!(first.len() >= 7, "{first:?}");
    let before = server.written();
    succeed(&mut apply(&server, SERVER_SIDE));
    let after = server.written();
    assert!(changed(&before, &after).is_empty(), "{:?}", changed(&before, &after));
}

#[test]
fn on_the_server_after_plainly_conflicts_with_nothing_and_changes_no_more_than_owners() {
    let server = server();
    succeed(&mut apply(&server, &[]));
    let plain = server.written();
    succeed(&mut apply(&server, SERVER_SIDE));
    let first = server.written();
    for (path, object) in &first {
        for part in ["spec", "data", "rules", "subjects", "roleRef"] {
            assert_eq!(object[part], plain[path][part], "{path} {part}");
        }
    }
    succeed(&mut apply(&server, SERVER_SIDE));
    let second = server.written();
    assert!(changed(&first, &second).is_empty(), "{:?}", changed(&first, &second));
    // And back.
    let back = command::output(&mut apply(&server, &[])).expect("it starts");
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
}
