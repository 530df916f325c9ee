//! What the documents say of commands, fields, variables, metrics and programs is held against the product itself.

mod commands;
mod configuration;
mod links;
mod names;
mod page;

use page::Page;
use std::{fs, path::Path};

/// Lines and bytes that somebody reads who wants to know what this is.
const README_LINES: usize = 130;
const README_BYTES: usize = 8_192;

/// The pages for users: the README and everything in `docs`.
fn manual() -> Vec<Page> {
    let mut pages = vec![Page::read("README.md")];
    pages.extend(page::below("docs"));
    assert!(pages.len() > 5, "docs has no pages");
    pages
}

/// The text of all Rust sources below a directory of the repository, without the line breaks within literals.
fn sources(directory: &str) -> String {
    fn add(directory: &Path, text: &mut String) {
        for entry in fs::read_dir(directory).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                add(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    let mut text = String::new();
    add(&page::root().join(directory), &mut text);
    let mut parts = text.split("\\\n");
    let mut joined = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        joined.push_str(part.trim_start());
    }
    joined
}

#[test]
fn the_readme_is_short_and_names_every_page() {
    let readme = Page::read("README.md");
    assert!(
        readme.text.lines().count() <= README_LINES,
        "README.md has too many lines"
    );
    assert!(readme.text.len() <= README_BYTES, "README.md is too long");
    for page in page::below("docs") {
        assert!(
            readme.links().any(|link| link == page.name),
            "README.md has no link to {}",
            page.name
        );
    }
}
