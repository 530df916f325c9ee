//! What an API server checks of the options of lists and watches (`ValidateListOptions`); a violation is 422.
//!
//! Parameters that it does not know are ignored, as a real server does.

use serde_json::json;

use super::answer::Status;
use super::question::Question;
use super::resource::Verb;

/// The first version (1.x) in which `sendInitialEvents` may be used: the feature gate `WatchList` is on by default.
const WATCH_LIST: u32 = 32;

/// Checks the options of a list or a watch, as Kubernetes 1.`minor` does.
pub(super) fn check(question: &Question, minor: u32) -> Result<(), Status> {
    let is_watch = question.verb == Some(Verb::Watch);
    let version = question.parameter("resourceVersion");
    let initial = question.parameter("sendInitialEvents").is_some();
    let Some(how) = question.parameter("resourceVersionMatch") else {
        return match initial {
            false => Ok(()),
            true if minor < WATCH_LIST => Err(gated(question)),
            true => Err(forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )),
        };
    };
    const FIELD: &str = "resourceVersionMatch";
    match how {
        _ if initial && minor < WATCH_LIST => Err(gated(question)),
        _ if initial && !is_watch => Err(forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        )),
        "NotOlderThan" if initial => Ok(()),
        _ if is_watch => Err(forbidden(
            FIELD,
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        _ if version.is_none() => Err(forbidden(
            FIELD,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        _ if question.parameter("continue").is_some() => Err(forbidden(
            FIELD,
            "resourceVersionMatch is forbidden when continue is provided",
        )),
        "Exact" if version == Some("0") => Err(forbidden(
            FIELD,
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        )),
        "NotOlderThan" => Ok(()),
        "Exact" => Err(invalid(
            FIELD,
            "Unsupported value: \"Exact\": this server keeps no old states",
        )),
        other => Err(invalid(
            FIELD,
            &format!("Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\""),
        )),
    }
}

fn gated(question: &Question) -> Status {
    let verb = question.verb.map_or("list", Verb::name);
    let why = format!("sendInitialEvents is forbidden for {verb} unless the WatchList feature gate is enabled");
    forbidden("sendInitialEvents", &why)
}

fn forbidden(field: &str, why: &str) -> Status {
    invalid(field, &format!("Forbidden: {why}"))
}

fn invalid(field: &str, why: &str) -> Status {
    let details = json!({"group": "meta.k8s.io", "kind": "ListOptions", "causes": [{"message": why, "field": field}]});
    Status::new(422, format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: {why}")).with_details(details)
}
