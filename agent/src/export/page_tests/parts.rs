//! How the files of the page are served.

use super::{Site, quiet};
use crate::export::page::{POLICY, assets::ASSETS};
use narrows_testbed::{command, http};
use regex::Regex;
use std::{collections::BTreeSet, fs, path::Path, process::Command};

#[test]
fn everything_that_is_imported_is_served() {
    let served: BTreeSet<_> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
    let import =
        Regex::new(r#"(?:from ?|import\(|url\(|(?:src|href)=)["'](?:\./|assets/)?([\w./-]+\.(?:js|css|svg))["']"#)
            .expect("a pattern");
    let mut imported = BTreeSet::from(["index.html".to_owned()]);
    for asset in ASSETS {
        let text = std::str::from_utf8(asset.body).expect("text");
        let directory = if asset.name.starts_with("vendor/") {
            "vendor/"
        } else {
            ""
        };
        let names = import
            .captures_iter(text)
            .map(|found| format!("{directory}{}", &found[1]));
        imported.extend(names);
    }
    assert_eq!(served, imported);
}

#[test]
fn parts_of_others_are_as_they_were_published() {
    let vendor = Path::new(env!("CARGO_MANIFEST_DIR")).join("page/vendor");
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "SHA256SUMS"]).current_dir(&vendor);
    let checked = command::output(&mut check).expect("sha256sum");
    assert!(checked.status.success(), "{checked:?}");
    let sums = fs::read_to_string(vendor.join("SHA256SUMS")).expect("a file");
    let summed: BTreeSet<_> = sums.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let served = ASSETS.iter().filter_map(|asset| asset.name.strip_prefix("vendor/"));
    assert_eq!(summed, served.collect());
}

#[test]
fn the_page_is_for_who_asks_for_html() {
    let mut site = Site::new();
    site.tick(quiet());
    let get = |path, accept| http::get(site.address, path, accept).expect("an answer");
    let page = get("/", "text/html,application/xhtml+xml,*/*;q=0.8");
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    for (path, accept) in [("/", "*/*"), ("/", "application/json"), ("/index.txt", "text/html")] {
        let text = get(path, accept);
        assert!(text.body.contains("\n/metrics "), "{path}: {}", text.body);
    }
    assert_eq!(get("/assets/index.html", "text/html").status, 404, "once is enough");
    assert_eq!(get("/assets/../Cargo.toml", "*/*").status, 404);
}

#[test]
fn parts_are_guarded_compressed_and_kept() {
    let site = Site::new();
    let ask = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--dump-header", "-", "--output", "/dev/null"])
            .args(arguments)
            .arg(site.url("assets/main.js"));
        let output = command::output(&mut curl).expect("curl");
        String::from_utf8(output.stdout).expect("text").to_lowercase()
    };
    let head = ask(&[]);
    for line in [
        &format!("content-security-policy: {}", POLICY.to_lowercase()),
        "content-type: text/javascript; charset=utf-8",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-cache",
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    assert!(!head.contains("content-encoding"), "{head}");
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .expect("a tag");
    let again = ask(&[
        "--header",
        &format!("If-None-Match: \"other\", {}", tag.replace("w/", "W/")),
    ]);
    assert!(again.starts_with("http/1.1 304 "), "{again}");
    assert!(ask(&["--header", "If-None-Match: \"other\""]).starts_with("http/1.1 200 "));
    assert!(ask(&["--compressed"]).contains("content-encoding: gzip\r\n"));
}
