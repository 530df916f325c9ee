//! Finds the shared libraries that a program needs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    guests::root::Root,
    system::architecture::Architecture,
    workspace::{command_line, output},
};

/// The paths, in a guest, of the libraries of a program on this machine, and of their loader.
///
/// # Errors
/// One of them is missing, or the program cannot be read.
pub(crate) fn of(program: &Path, root: &Root) -> Result<Vec<PathBuf>> {
    match root {
        Root::Here => loaded(program),
        Root::Below(_, architecture) => named(program, root, *architecture),
    }
}

/// The libraries that this machine's loader would load.
fn loaded(program: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program).env("LC_ALL", "C");
    let line = command_line(&ldd);
    let output = ldd.output().with_context(|| format!("cannot start `{line}`"))?;
    // It fails for a static program.
    let text = if output.status.success() {
        String::from_utf8_lossy(&output.stdout)
    } else {
        "".into()
    };
    in_ldd(&text).with_context(|| format!("{line}: is a package missing?"))
}

/// The files that `ldd` names.
fn in_ldd(text: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        // `libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`, `linux-vdso.so.1 (0x…)`.
        let file = line.split_once(" => ").map_or(line, |(_, file)| file);
        if file == "not found" {
            bail!("{line}");
        }
        let file = file.split(" (").next().unwrap_or(file);
        if file.starts_with('/') {
            found.push(file.into());
        }
    }
    Ok(found)
}

/// The libraries that a program for another architecture names, with their own dependencies: it cannot run here, so its loader
/// cannot be used.
fn named(program: &Path, root: &Root, architecture: Architecture) -> Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut unread = vec![program.to_owned()];
    while let Some(file) = unread.pop() {
        let mut readelf = Command::new("readelf");
        readelf.args(["--wide", "--program-headers", "--dynamic"]).arg(&file);
        let text = output(readelf.env("LC_ALL", "C"))
            .context("readelf of binutils is needed to read the dependencies of programs")?;
        for name in in_readelf(&text) {
            let path = place(name, root, architecture)
                .with_context(|| format!("{} needs {name}: is a package missing?", file.display()))?;
            if !found.contains(&path) {
                unread.push(root.on_host(&path));
                found.insert(path);
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// The loader, by its path, and the libraries, by their names.
fn in_readelf(text: &str) -> Vec<&str> {
    let names = text.lines().filter_map(|line| {
        let (what, name) = line.trim_end().strip_suffix(']')?.rsplit_once('[')?;
        if what.contains("(NEEDED)") {
            return Some(name);
        }
        name.strip_prefix("Requesting program interpreter: ")
    });
    names.collect()
}

/// The path at which Debian's loader finds a library.
fn place(name: &str, root: &Root, architecture: Architecture) -> Option<PathBuf> {
    let gnu = architecture.gnu();
    let directories = [
        format!("/lib/{gnu}"),
        format!("/usr/lib/{gnu}"),
        "/lib".into(),
        "/usr/lib".into(),
    ];
    // A name that is a path is used as it is.
    let mut places = directories.iter().map(|directory| Path::new(directory).join(name));
    places.find(|path| fs::symlink_metadata(root.on_host(path)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f01)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n\tstatically linked\n";
        let found = in_ldd(text).expect("all are there");
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(found, expected);
        let error = in_ldd("\tlibpcap.so.1 => not found\n").expect_err("one is missing");
        assert_eq!(error.to_string(), "libpcap.so.1 => not found");
    }

    #[test]
    fn libraries_of_other_machines_are_read_from_readelf() {
        let text = "  INTERP 0x000238 0x0000000000000238 0x00001b R   0x1\n\
                    \x20     [Requesting program interpreter: /lib/ld-linux-aarch64.so.1]\n\
                    \x2001     .interp .dynsym\n\
                    \x200x0000000000000001 (NEEDED)             Shared library: [libelf.so.1]\n\
                    \x200x000000000000000e (SONAME)             Library soname: [libbpf.so.1]\n\
                    \x200x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n";
        assert_eq!(
            in_readelf(text),
            ["/lib/ld-linux-aarch64.so.1", "libelf.so.1", "libc.so.6"]
        );
    }

    #[test]
    fn a_library_lies_where_the_loader_looks() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Root::Below(directory.path().into(), Architecture::Aarch64);
        for file in ["lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu/libelf.so.1"] {
            let file = directory.path().join(file);
            fs::create_dir_all(file.parent().expect("a directory")).expect("made");
            fs::write(file, "").expect("written");
        }
        let found = |name| place(name, &root, Architecture::Aarch64);
        assert_eq!(
            found("/lib/ld-linux-aarch64.so.1"),
            Some("/lib/ld-linux-aarch64.so.1".into())
        );
        assert_eq!(
            found("libelf.so.1"),
            Some("/usr/lib/aarch64-linux-gnu/libelf.so.1".into())
        );
        assert_eq!(found("libc.so.6"), None);
    }
}
