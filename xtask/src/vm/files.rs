//! What lies in a guest's file system: programs of this machine, at the same paths, with all that they need.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::workspace::{command_line, find_program};

use super::cpio::Archive;

/// How many symbolic links lead to a file at most, as in the kernel.
const LINKS: usize = 40;

/// The files of a guest, by their paths in it.
#[derive(Clone, Default)]
pub(crate) struct Files(BTreeMap<PathBuf, Entry>);

#[derive(Clone)]
enum Entry {
    Directory(u32),
    Link(PathBuf),
    /// The contents of a file of this machine.
    Copy(PathBuf),
    Text(Vec<u8>),
    Device(u32, u32),
}

impl Files {
    /// A directory and its parents.
    pub(crate) fn directory(&mut self, path: &Path, mode: u32) {
        for parent in path.ancestors().skip(1) {
            self.0.entry(parent.to_owned()).or_insert(Entry::Directory(0o755));
        }
        self.0.insert(path.to_owned(), Entry::Directory(mode));
    }

    /// A file with these contents.
    pub(crate) fn text(&mut self, path: &Path, contents: impl Into<Vec<u8>>) {
        self.put(path, Entry::Text(contents.into()));
    }

    /// A character device.
    pub(crate) fn device(&mut self, path: &Path, major: u32, minor: u32) {
        self.put(path, Entry::Device(major, minor));
    }

    /// A file of this machine, at another path.
    pub(crate) fn copy(&mut self, path: &Path, source: &Path) {
        self.put(path, Entry::Copy(source.to_owned()));
    }

    fn put(&mut self, path: &Path, entry: Entry) {
        if let Some(parent) = path.parent() {
            for parent in parent.ancestors() {
                self.0.entry(parent.to_owned()).or_insert(Entry::Directory(0o755));
            }
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// A file of this machine at the path that it has here, with the symbolic links that lead to it.
    ///
    /// # Errors
    /// There is no such file.
    pub(crate) fn same(&mut self, path: &Path) -> Result<()> {
        let file = self.links(path)?;
        if !file.is_file() {
            bail!("{} is no file", path.display());
        }
        self.copy(&file, &file);
        Ok(())
    }

    /// Notes the symbolic links on the way to `path`, and returns where they end.
    fn links(&mut self, path: &Path) -> Result<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            match first_link(&path).with_context(|| format!("cannot look at {}", path.display()))? {
                None => return Ok(path),
                Some((link, to, rest)) => {
                    let parent = link.parent().unwrap_or(Path::new("/"));
                    path = normal(&parent.join(&to).join(rest));
                    self.put(&link, Entry::Link(to));
                }
            }
        }
        bail!("{}: too many symbolic links", path.display())
    }

    /// A program of this machine by its name, and its libraries.
    ///
    /// # Errors
    /// There is no such program, or a library of it is missing.
    pub(crate) fn program(&mut self, name: &str) -> Result<()> {
        let path = find_program(name).with_context(|| format!("no {name} on PATH: install it"))?;
        self.same(&path)?;
        self.libraries(&path)
    }

    /// The libraries of a program of this machine, and what loads them.
    ///
    /// # Errors
    /// One of them is missing.
    pub(crate) fn libraries(&mut self, program: &Path) -> Result<()> {
        let mut ldd = Command::new("ldd");
        ldd.arg(program).env("LC_ALL", "C");
        let line = command_line(&ldd);
        let output = ldd.output().with_context(|| format!("cannot start `{line}`"))?;
        // A program without libraries makes it fail.
        let text = if output.status.success() {
            String::from_utf8_lossy(&output.stdout)
        } else {
            "".into()
        };
        for library in libraries(&text).with_context(|| format!("{line}: is a package missing?"))? {
            self.same(&library)?;
        }
        Ok(())
    }

    /// All files of a directory of this machine, without those below it.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn all_of(&mut self, directory: &Path) -> Result<()> {
        let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
            self.same(&entry.path())?;
        }
        Ok(())
    }

    /// Writes all of it into an archive for the kernel.
    ///
    /// # Errors
    /// A file cannot be read, or the archive not be written.
    pub(crate) fn pack(&self, archive: &Path) -> Result<()> {
        let file = File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?;
        let mut packed = Archive::new(BufWriter::new(file));
        for (path, entry) in &self.0 {
            let name = path.to_string_lossy();
            // The root itself is there already.
            let name = name.trim_start_matches('/');
            if !name.is_empty() {
                entry
                    .pack(name, &mut packed)
                    .with_context(|| format!("cannot pack {}", path.display()))?;
            }
        }
        let written = packed.finish().and_then(|mut file| file.flush());
        written.with_context(|| format!("cannot write {}", archive.display()))
    }
}

impl Entry {
    fn pack(&self, name: &str, archive: &mut Archive<BufWriter<File>>) -> io::Result<()> {
        match self {
            Self::Directory(mode) => archive.directory(name, *mode),
            Self::Link(to) => archive.link(name, &to.to_string_lossy()),
            Self::Text(contents) => archive.file(name, 0o644, contents.len() as u64, contents.as_slice()),
            Self::Device(major, minor) => archive.device(name, (*major, *minor)),
            Self::Copy(source) => {
                let file = File::open(source)?;
                let metadata = file.metadata()?;
                archive.file(name, metadata.permissions().mode(), metadata.len(), file)
            }
        }
    }
}

/// The first symbolic link on the way to an absolute path: where it is, what it says, and what of the path comes after it.
fn first_link(path: &Path) -> io::Result<Option<(PathBuf, PathBuf, PathBuf)>> {
    let mut at = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        at.push(component);
        if fs::symlink_metadata(&at)?.is_symlink() {
            let to = fs::read_link(&at)?;
            return Ok(Some((at, to, components.as_path().to_owned())));
        }
    }
    Ok(None)
}

/// The path without `.` and `..`. Only right where what comes before a `..` is no link, as on a path that is followed from
/// its start.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// The files that `ldd` names.
fn libraries(text: &str) -> Result<Vec<PathBuf>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn libraries_are_read_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f01)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n\tstatically linked\n";
        let found = libraries(text).expect("all are there");
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(found, expected);
        let error = libraries("\tlibpcap.so.1 => not found\n").expect_err("one is missing");
        assert_eq!(error.to_string(), "libpcap.so.1 => not found");
    }

    #[test]
    fn a_file_comes_with_the_links_that_lead_to_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().canonicalize().expect("it is there");
        fs::create_dir_all(root.join("usr/bin")).expect("made");
        fs::write(root.join("usr/bin/tool-2"), "x").expect("written");
        symlink("usr/bin", root.join("bin")).expect("made");
        symlink("../bin/./tool-2", root.join("usr/bin/tool")).expect("made");
        let mut files = Files::default();
        files.same(&root.join("bin/tool")).expect("a file");
        let entry = |path: &str| files.0.get(&root.join(path));
        assert!(matches!(entry("bin"), Some(Entry::Link(to)) if to == Path::new("usr/bin")));
        assert!(matches!(entry("usr/bin/tool"), Some(Entry::Link(to)) if to == Path::new("../bin/./tool-2")));
        assert!(matches!(entry("usr/bin/tool-2"), Some(Entry::Copy(_))));
        assert!(matches!(entry("usr"), Some(Entry::Directory(_))));
        assert!(files.same(&root.join("usr")).is_err(), "a directory is no file");
    }
}
