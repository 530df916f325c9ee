//! Fields, defaults, example files and variables are those that the agent reads.

use super::{
    commands::all_help,
    links::all,
    manual,
    page::{Page, spans},
};
use narrows::{
    config::Config,
    identity::Inventory,
    points::{Kind, Mesh, Rules},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs};

/// The sections of the configuration, whose fields have a dot in their names.
const SECTIONS: [&str; 8] = [
    "api",
    "identity",
    "kubernetes",
    "kernel",
    "limits",
    "points",
    "bypass",
    "metrics",
];

/// Every field with its default, by its name with dots.
fn fields() -> BTreeMap<String, Value> {
    fn add(prefix: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
        match value {
            // One without fields is a table of the user's own names.
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    add(&format!("{prefix}{dot}{name}"), value, found);
                }
            }
            value => {
                found.insert(prefix.to_owned(), value.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    let config = serde_json::to_value(Config::default()).expect("JSON");
    add("", &config, &mut found);
    found
}

/// As a cell of the table gives it.
fn default(cell: &str) -> Value {
    match spans(cell)[..] {
        [] if cell == "none" => Value::Null,
        [text] => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        _ => panic!("{cell} is no default"),
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Reads a text as the file that it is: an inventory, or a configuration.
fn read(text: &str) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    let value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    // In a configuration, `points` has fields.
    let is_inventory = value["workloads"].is_array() || value["points"].is_array();
    let outcome = match is_inventory {
        true => Inventory::read(file.path()).map(drop),
        false => Config::read(Some(file.path())).map(drop),
    };
    outcome.map_err(|error| error.to_string())
}

/// `limits.flows: 3` as a file has it; nothing when the text is no field of a section.
fn as_file(span: &str) -> Option<String> {
    let (name, value) = span.split_once(": ").unwrap_or((span, ""));
    let (section, field) = name.split_once('.')?;
    let is_name = !field.is_empty() && field.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let is_field = SECTIONS.contains(&section) && is_name;
    is_field.then(|| match value {
        "" => name.to_owned(),
        value => format!("{section}:\n  {field}: {value}\n"),
    })
}

fn objection(span: &str) -> Option<String> {
    let file = as_file(span)?;
    match file.contains('\n') {
        true => read(&file).err(),
        false => (!fields().contains_key(&file)).then(|| "there is no such field".to_owned()),
    }
}

#[test]
fn the_table_has_every_field_with_its_default() {
    let table = Page::read("docs/configuration.md").table("## Fields");
    let written: BTreeMap<_, _> = table
        .iter()
        .map(|row| (spans(&row[0])[0].to_owned(), default(&row[1])))
        .collect();
    let fields = fields();
    assert_eq!(written.keys().collect::<Vec<_>>(), fields.keys().collect::<Vec<_>>());
    for (name, value) in fields {
        assert!(
            same(&written[&name], &value),
            "{name}: {} and not {}",
            value,
            written[&name]
        );
    }
}

#[test]
fn every_field_that_a_page_names_is_there() {
    let mut number = 0;
    for page in manual() {
        for span in page.spans() {
            number += usize::from(as_file(&span).is_some());
            assert_eq!(objection(&span), None, "{}: {span}", page.name);
        }
    }
    assert!(number > 60, "only {number} fields were found");
    let overridden = Page::read("docs/configuration.md").table("## Flags and variables");
    for row in overridden {
        if let Some(field) = spans(&row[2]).first() {
            assert!(fields().contains_key(*field), "{field}");
        }
    }
}

#[test]
fn every_example_file_is_accepted() {
    let mut number = 0;
    for page in manual() {
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            number += 1;
            assert_eq!(read(&block.text), Ok(()), "{}:{}", page.name, block.line);
        }
    }
    assert!(number >= 3, "only {number} files were found");
}

#[test]
fn every_variable_is_one_of_a_command() {
    let help = all_help();
    let is_variable = |word: &&str| word.starts_with("NARROWS_") && !word.ends_with('_');
    for page in all() {
        let words = page.text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        for variable in words.filter(is_variable) {
            assert!(help.contains(variable), "{}: no command reads {variable}", page.name);
        }
    }
    let manual: String = manual().into_iter().map(|page| page.text).collect();
    let words = help.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    for variable in words.filter(is_variable) {
        assert!(manual.contains(variable), "no page has {variable}");
    }
}

#[test]
fn every_kind_and_every_built_in_rule_is_documented() {
    let terms = Page::read("docs/definitions.md");
    let settings = Page::read("docs/configuration.md");
    for kind in Kind::ALL {
        for page in [&terms, &settings] {
            let span = format!("`{}`", kind.label());
            assert!(page.prose.contains(&span), "{} has no {span}", page.name);
        }
    }
    let table = Page::read("docs/kernels-and-meshes.md").table("## Meshes");
    let rules = fs::read_to_string(super::page::root().join("agent/src/points/rules.yaml")).expect("rules");
    let rules: Vec<narrows::points::Rule> = serde_saphyr::from_str(&rules).expect("rules");
    assert!(Rules::new(rules.clone()).is_ok());
    for rule in rules {
        let of_mesh: Vec<_> = table
            .iter()
            .filter(|row| row[0].to_lowercase().split(' ').next() == Some(rule.mesh.label()))
            .collect();
        let kind = format!("`{}`", rule.kind.label());
        assert!(
            rule.mesh != Mesh::None && of_mesh.iter().any(|row| row[2].contains(&kind)),
            "{rule:?}"
        );
        if let Some(container) = &rule.container {
            let name = format!("`{container}`");
            assert!(of_mesh.iter().any(|row| row[3].contains(&name)), "{rule:?}");
        }
    }
}

#[test]
fn what_the_agent_does_not_read_is_found() {
    for good in [
        "limits.flows",
        "kernel.pin: false",
        "narrows.io",
        "sk.sk_err",
        "kernel.off: [sched_switch]",
    ] {
        assert_eq!(objection(good), None, "{good}");
    }
    for wrong in [
        "limits.flow",
        "kernel.pins: nowhere",
        "kubernetes.scope: pod",
        "kernel.off: [sched]",
    ] {
        assert!(objection(wrong).is_some(), "{wrong}");
    }
    assert!(read("intervall: 5\n").is_err());
    assert!(read("workloads:\n  - { name: a, adresses: [] }\n").is_err());
    assert!(!same(&default("`5`"), &default("`6`")));
}
