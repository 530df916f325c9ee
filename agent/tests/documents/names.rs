//! Names of metrics, label values, programs, paths and messages are those of the product.

use super::{
    links::all,
    manual,
    page::{Page, root, spans},
    sources,
};
use agent_common::{Loss, Reason};
use narrows::{catalogue, metrics::Family, signals};
use narrows_testbed::exported;
use std::collections::BTreeSet;

/// Names of series that are exported, or that the rules for Prometheus record.
fn series() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = catalogue::families().flat_map(Family::series).collect();
    let rules = std::fs::read_to_string(root().join("deploy/prometheus/rules.yaml")).expect("rules");
    let recorded = rules
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("record: "));
    names.extend(recorded.map(|name| name.trim_matches(['"', '\'']).to_owned()));
    names
}

/// What the first cells of a table name.
fn first_column(page: &str, heading: &str) -> BTreeSet<String> {
    let table = Page::read(page).table(heading);
    let names = table.iter().flat_map(|row| spans(&row[0]));
    names.map(str::to_owned).collect()
}

/// Values that stand as text in the sources of the agent.
#[track_caller]
fn are_literals(values: &BTreeSet<String>) {
    let sources = sources("agent/src") + &sources("agent-common/src");
    for value in values {
        assert!(sources.contains(&format!("\"{value}\"")), "the agent has no {value}");
    }
}

#[test]
fn every_metric_is_exported() {
    let known = series();
    let mut number = 0;
    for page in all() {
        // Images have a version behind the colon, modules another colon.
        let names = exported::mentioned(&page.text).into_iter();
        let is_other = |name: &String| name.starts_with("narrows:0") || name.starts_with("narrows::");
        for name in names.filter(|name| !is_other(name)) {
            number += 1;
            assert!(known.contains(&name), "{}: {name}", page.name);
        }
    }
    assert!(number > 100, "only {number} names were found");
    assert!(!known.contains("narrows_connections_open_total"));
}

#[test]
fn every_program_says_what_is_missing_without_it() {
    let written = first_column("docs/kernels-and-meshes.md", "## Kernel programs");
    let programs: BTreeSet<_> = signals::programs().map(|program| program.name.to_owned()).collect();
    assert_eq!(written, programs);
}

#[test]
fn everything_that_can_be_lost_is_explained() {
    let written = first_column("docs/troubleshooting.md", "## Lost counts");
    for what in Loss::ALL {
        assert!(written.contains(what.label()), "nothing of {}", what.label());
    }
    are_literals(&written);
}

#[test]
fn every_reason_is_defined_with_its_phase() {
    let table = Page::read("docs/definitions.md").table("## Failures");
    let written: BTreeSet<_> = table
        .iter()
        .map(|row| (row[0].replace('`', ""), row[1].clone()))
        .collect();
    let reasons = Reason::ALL.map(|reason| (reason.label().to_owned(), reason.phase().to_owned()));
    assert_eq!(written, BTreeSet::from(reasons));
}

#[test]
fn signals_and_resources_are_those_of_the_agent() {
    are_literals(&first_column("docs/kernels-and-meshes.md", "## Signals of the node"));
    are_literals(&first_column("docs/definitions.md", "## Saturation and choke risk"));
}

#[test]
fn every_path_is_served() {
    let server = sources("agent/src/export");
    let is_path = |span: &&str| span.starts_with("/api/") || ["/metrics", "/healthz", "/readyz"].contains(span);
    for page in manual() {
        for path in page.text.split(['`', ' ', '\n', '?', ')', ':', '"']).filter(is_path) {
            // `/api/v1/*` stands for several.
            let path = path.trim_end_matches(['.', ',', ';', '*']);
            assert!(server.contains(&format!("\"{path}")), "{}: {path}", page.name);
        }
    }
}

#[test]
fn keys_and_parameters_of_the_page_are_those_of_its_scripts() {
    let script = |name: &str| {
        let file = root().join("agent/page").join(name);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    let help = script("help.js");
    let keys = Page::read("docs/page.md").table("## Keys");
    let shown = help.lines().filter(|line| line.trim_start().starts_with("['"));
    assert_eq!(shown.count(), keys.len());
    for row in keys {
        let line = format!("['{}', '{}'],", row[0].replace('`', ""), row[1]);
        assert!(help.contains(&line), "help.js has no {line}");
    }
    let scripts = ["main.js", "flow.js", "points.js"].map(script).concat();
    for parameter in first_column("docs/page.md", "## Links") {
        for parameter in parameter.split(", ") {
            let is_read = [
                format!("parameters.{parameter}"),
                format!("{parameter}, "),
                format!(", {parameter} "),
            ];
            assert!(
                is_read.iter().any(|text| scripts.contains(text)),
                "nothing reads {parameter}"
            );
        }
    }
}

#[test]
fn every_message_is_one_that_is_printed() {
    let sources = sources("agent/src") + &sources("agent-common/src") + &sources("xtask/src");
    let build = std::fs::read_to_string(root().join("agent/build.rs")).expect("a source");
    let messages = first_column("docs/troubleshooting.md", "## Messages");
    assert!(messages.len() > 20);
    for message in messages {
        let pieces = message.split('…').map(|piece| piece.trim_matches([' ', ':', ',', ';']));
        // Short ones are anywhere; those with a place in a file are of the reader of YAML.
        for piece in pieces.filter(|piece| piece.len() > 6 && !piece.starts_with("config.yaml")) {
            assert!(
                sources.contains(piece) || build.contains(piece),
                "nobody says {piece:?}"
            );
        }
    }
}
