//! Checks that the model, and the half of identity that answers questions, are pure: they do no I/O and never block. Their results
//! depend only on their inputs, so that a test can construct each case.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What must be pure: directories and single files.
const PURE: [&str; 12] = [
    "model",
    "identity/address.rs",
    "identity/binding.rs",
    "identity/directory.rs",
    "identity/entries.rs",
    "identity/history.rs",
    "identity/identities.rs",
    "identity/namespaces.rs",
    "identity/networks.rs",
    "identity/owners.rs",
    "identity/waiting.rs",
    "networks.rs",
];

/// What gives access to files, processes, networks, wall clocks, locks and threads, in the standard library and in dependencies.
const IMPURE: [&str; 30] = [
    "fs",
    "io",
    "env",
    "os",
    "nix",
    "libc",
    "procfs",
    "tokio",
    "thread",
    "Command",
    "File",
    "OpenOptions",
    "TcpStream",
    "UdpSocket",
    "SystemTime",
    "Timestamp",
    "Mutex",
    "RwLock",
    "RefCell",
    "Cgroups",
    "Reader",
    "Observer",
    "netns_inode",
    "host_netns",
    "host_addresses",
    "kernel_release",
    "kernel",
    "agent",
    "export",
    "directory_mut",
];

/// The source files in a directory, or the single file.
fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a room") {
            sources(&entry.expect("a file").path(), found);
        }
    } else if path.file_name().is_some_and(|name| name != "tests.rs") {
        found.push(path.to_owned());
    }
}

/// The code of a file without its comments and tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    let lines = lines.take_while(|(_, line)| *line != "#[cfg(test)]");
    lines.map(|(n, line)| (n + 1, line.split_once("//").map_or(line, |(code, _)| code)))
}

fn names(code: &str) -> impl Iterator<Item = &str> {
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

#[test]
fn what_is_said_to_be_pure_names_nothing_that_is_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for room in PURE {
        sources(&root.join(room), &mut files);
    }
    assert!(files.len() > PURE.len(), "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for (line, code) in code(&text) {
            let impure = names(code).find(|name| IMPURE.contains(name));
            assert_eq!(impure, None, "{}:{line}: {code}", file.display());
        }
    }
}
