//! Each alert beside the tests in which it fires, nearly fires, is quiet in roll-outs, and is one of many.

use super::{
    super::prometheus::{cases as written, directory, rules},
    cases, near, rollouts,
};
use std::{collections::BTreeMap, fmt::Write as _, fs};

/// What the table says of an alert.
#[derive(Default)]
struct Row {
    fires: Vec<String>,
    near: Vec<String>,
    one_of_many: Vec<String>,
}

fn table() -> String {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for alert in rules("alerts.yaml") {
        rows.entry(alert["alert"].as_str().expect("a name").to_owned())
            .or_default();
    }
    for (alert, fires, name) in written() {
        let row = rows.entry(alert).or_default();
        if fires { &mut row.fires } else { &mut row.near }.push(name);
    }
    // A test in which it also fires shows when it begins or ends, and is no near miss.
    for row in rows.values_mut() {
        row.near.retain(|name| !row.fires.contains(name));
    }
    for miss in near::ALL {
        rows.entry(miss.alert.to_owned())
            .or_default()
            .near
            .push(miss.name.to_owned());
    }
    for case in cases::all().iter().flatten() {
        for alert in rows.keys().cloned().collect::<Vec<_>>() {
            if case
                .fires
                .iter()
                .any(|labels| labels.contains(&format!("alertname=\"{alert}\"")))
            {
                let row = rows.entry(alert).or_default();
                row.one_of_many.push(case.name.to_owned());
                row.fires.push(case.name.to_owned());
            }
        }
    }
    let mut text = String::from(
        "# Tests of the alerts\n\n\
         `promtool test rules *.yaml` runs the tests of this directory. Those of forty nodes, of which few are bad, and of roll-outs, in \
         which nothing is, are in `agent/tests/deploy/scenarios`, which also checks this table. It names one test of each kind.\n\n\
         | alert | fires | near miss | quiet in roll-outs | one of forty nodes, or of many instances |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for (alert, row) in rows {
        let one = |all: &[String]| {
            all.first()
                .cloned()
                .unwrap_or_else(|| panic!("{alert} has an empty field"))
        };
        let (fires, near, many) = (one(&row.fires), one(&row.near), one(&row.one_of_many));
        writeln!(
            text,
            "| `{alert}` | {fires} | {near} | {} of {} | {many} |",
            rollouts::NAMES.len(),
            rollouts::NAMES.len()
        )
        .expect("a text can be written");
    }
    text.push_str("\nThe roll-outs: ");
    text.push_str(&rollouts::NAMES.join("; "));
    text.push_str(".\n");
    text
}

#[test]
fn each_alert_has_tests_of_every_kind() {
    let file = directory().join("tests/README.md");
    let expected = table();
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "{} is out of date, expected:\n{expected}",
        file.display()
    );
}
