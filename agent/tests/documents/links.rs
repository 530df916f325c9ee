//! Links lead somewhere.

use super::page::{Page, below, root};
use std::path::{Component, Path, PathBuf};

/// All pages of the repository.
pub fn all() -> Vec<Page> {
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let mut pages: Vec<_> = top.iter().map(|name| Page::read(name)).collect();
    pages.extend(below("docs"));
    pages.extend(below("deploy"));
    pages
}

/// What is wrong with a link of a page.
fn trouble(page: &Page, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = match file {
        "" => PathBuf::from(&page.name),
        file => normal(&Path::new(&page.name).with_file_name("").join(file)),
    };
    if !root().join(&path).exists() {
        return Some(format!("there is no {}", path.display()));
    }
    if anchor.is_empty() {
        return None;
    }
    let target = Page::read(path.to_str()?);
    (!target.anchors().iter().any(|known| known == anchor)).then(|| format!("{} has no #{anchor}", target.name))
}

/// Without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut number = 0;
    for page in all() {
        for link in page.links() {
            number += 1;
            assert_eq!(trouble(&page, link), None, "{}: {link}", page.name);
        }
    }
    assert!(number > 100, "only {number} links were found");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = Page::read("docs/security.md");
    for (link, found) in [
        ("../deploy/README.md", false),
        ("definitions.md#never-accepted", false),
        ("#threats", false),
        ("https://example.com", false),
        ("nothing.md", true),
        ("definitions.md#nothing", true),
        ("#nothing", true),
    ] {
        assert_eq!(trouble(&page, link).is_some(), found, "{link}");
    }
}
