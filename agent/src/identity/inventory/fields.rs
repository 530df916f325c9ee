//! Fields of entries: read, and checked with their lines.

use crate::yaml::FileError;
use serde_saphyr::Spanned;
use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The namespace and the service account of entries that name none.
pub fn default_name() -> String {
    "default".to_owned()
}

/// The lines of entries by list, namespace and name.
pub type Seen = HashMap<(&'static str, String, String), u64>;

/// Checks a name, and that no other entry of the same list has it. Returns its line.
pub fn once(
    file: &Path,
    seen: &mut Seen,
    list: &'static str,
    namespace: &str,
    name: &Spanned<String>,
) -> Result<u64, FileError> {
    let line = name.referenced.line();
    if name.value.is_empty() || namespace.is_empty() {
        return Err(FileError::at(
            file,
            line,
            format!("{list}: name and namespace must not be empty"),
        ));
    }
    match seen.insert((list, namespace.to_owned(), name.value.clone()), line) {
        Some(first) => Err(FileError::at(
            file,
            line,
            format!(
                "{list}: name: {namespace}/{} is defined twice, first in line {first}",
                name.value
            ),
        )),
        None => Ok(line),
    }
}

/// Reads the IP addresses of an entry.
pub fn addresses(file: &Path, addresses: &[Spanned<String>]) -> Result<Vec<IpAddr>, FileError> {
    addresses
        .iter()
        .map(|address| {
            let parsed: Result<IpAddr, _> = address.value.parse();
            parsed.map(|parsed| parsed.to_canonical()).map_err(|_| {
                let what = format!("addresses: {:?} is not an IPv4 or IPv6 address", address.value);
                FileError::at(file, address.referenced.line(), what)
            })
        })
        .collect()
}

/// Checks the path of a network namespace.
pub fn netns(file: &Path, netns: Option<Spanned<PathBuf>>) -> Result<Option<PathBuf>, FileError> {
    match netns {
        Some(netns) if !netns.value.is_absolute() => Err(FileError::at(
            file,
            netns.referenced.line(),
            format!(
                "netns: {:?} is not an absolute path, such as /run/netns/checkout",
                netns.value
            ),
        )),
        netns => Ok(netns.map(|netns| netns.value)),
    }
}

/// Checks the path of a cgroup, and that no other entry has it.
pub fn cgroup(
    file: &Path,
    seen: &mut HashMap<String, u64>,
    cgroup: Option<Spanned<String>>,
) -> Result<Option<String>, FileError> {
    let Some(cgroup) = cgroup else { return Ok(None) };
    let line = cgroup.referenced.line();
    let path = cgroup.value.trim_end_matches('/').to_owned();
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        let what = format!(
            "cgroup: {:?} is not a path below the cgroup2 root, such as /system.slice/envoy.service",
            cgroup.value
        );
        return Err(FileError::at(file, line, what));
    }
    match seen.insert(path.clone(), line) {
        Some(first) => {
            let what = format!("cgroup: {path} belongs to another entry already, in line {first}");
            Err(FileError::at(file, line, what))
        }
        None => Ok(Some(path)),
    }
}
