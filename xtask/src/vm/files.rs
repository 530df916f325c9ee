//! The files of a guest: programs of this machine, or of a root for another architecture, at the same paths and with their
//! libraries.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::guests::root::Root;

use super::{cpio::Archive, libraries};

/// The limit of symbolic links on a path, as in the kernel.
const LINKS: usize = 40;

/// The files of a guest.
#[derive(Clone)]
pub(crate) struct Files {
    /// Entries by their paths in the guest.
    entries: BTreeMap<PathBuf, Entry>,
    /// The source of files that have the same path in the guest.
    root: Root,
}

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
    /// An empty set of files, with this root.
    pub(crate) fn of(root: Root) -> Self {
        Self {
            entries: BTreeMap::new(),
            root,
        }
    }

    /// Adds a directory and its parents.
    pub(crate) fn directory(&mut self, path: &Path, mode: u32) {
        for parent in path.ancestors().skip(1) {
            self.entries.entry(parent.to_owned()).or_insert(Entry::Directory(0o755));
        }
        self.entries.insert(path.to_owned(), Entry::Directory(mode));
    }

    /// Adds a file with these contents.
    pub(crate) fn text(&mut self, path: &Path, contents: impl Into<Vec<u8>>) {
        self.put(path, Entry::Text(contents.into()));
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, path: &Path, major: u32, minor: u32) {
        self.put(path, Entry::Device(major, minor));
    }

    /// Adds a file of this machine, at another path.
    pub(crate) fn copy(&mut self, path: &Path, source: &Path) {
        self.put(path, Entry::Copy(source.to_owned()));
    }

    fn put(&mut self, path: &Path, entry: Entry) {
        if let Some(parent) = path.parent() {
            for parent in parent.ancestors() {
                self.entries.entry(parent.to_owned()).or_insert(Entry::Directory(0o755));
            }
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// Adds a file of the root at the same path, with the symbolic links that lead to it.
    ///
    /// # Errors
    /// There is no such file.
    pub(crate) fn same(&mut self, path: &Path) -> Result<()> {
        let file = self.links(path)?;
        let source = self.root.on_host(&file);
        if !source.is_file() {
            bail!("{} is not a file", source.display());
        }
        self.copy(&file, &source);
        Ok(())
    }

    /// Adds the symbolic links on the way to `path`, and returns their target.
    fn links(&mut self, path: &Path) -> Result<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            let host = self.root.on_host(&path);
            match first_link(&path, &self.root).with_context(|| format!("cannot read {}", host.display()))? {
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

    /// Adds a program of the root by its name, with its libraries.
    ///
    /// # Errors
    /// There is no such program, or a library of it is missing.
    pub(crate) fn program(&mut self, name: &str) -> Result<()> {
        let path = self.root.program(name)?;
        self.same(&path)?;
        // Links are resolved here, as an absolute one would be followed outside of the root.
        let file = self.links(&path)?;
        self.libraries(&self.root.on_host(&file))
    }

    /// Adds the libraries of a program on this machine, and their loader.
    ///
    /// # Errors
    /// One of them is missing.
    pub(crate) fn libraries(&mut self, program: &Path) -> Result<()> {
        for library in libraries::of(program, &self.root)? {
            self.same(&library)?;
        }
        Ok(())
    }

    /// Adds all files of a directory of the root, without subdirectories.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn all_of(&mut self, directory: &Path) -> Result<()> {
        let host = self.root.on_host(directory);
        let entries = fs::read_dir(&host).with_context(|| format!("cannot list {}", host.display()))?;
        for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
            self.same(&directory.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// Writes all files into an archive for the kernel.
    ///
    /// # Errors
    /// A file cannot be read, or the archive cannot be written.
    pub(crate) fn pack(&self, archive: &Path) -> Result<()> {
        let file = File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?;
        let mut packed = Archive::new(BufWriter::new(file));
        for (path, entry) in &self.entries {
            let name = path.to_string_lossy();
            // The root directory exists already.
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

/// The first symbolic link on the way to an absolute path of the root: its path, its target, and the rest of the path.
fn first_link(path: &Path, root: &Root) -> io::Result<Option<(PathBuf, PathBuf, PathBuf)>> {
    let mut at = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        at.push(component);
        let host = root.on_host(&at);
        // The path of the root itself may contain links.
        if at != Path::new("/") && fs::symlink_metadata(&host)?.is_symlink() {
            let to = fs::read_link(&host)?;
            return Ok(Some((at, to, components.as_path().to_owned())));
        }
    }
    Ok(None)
}

/// The path without `.` and `..`. Only correct if the component before each `..` is not a link, as on a path whose links were
/// resolved from the start.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::architecture::Architecture;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_comes_with_the_links_that_lead_to_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().canonicalize().expect("it is there");
        fs::create_dir_all(root.join("usr/bin")).expect("made");
        fs::write(root.join("usr/bin/tool-2"), "x").expect("written");
        symlink("usr/bin", root.join("bin")).expect("made");
        symlink("../bin/./tool-2", root.join("usr/bin/tool")).expect("made");
        let mut files = Files::of(Root::Here);
        files.same(&root.join("bin/tool")).expect("a file");
        let entry = |path: &str| files.entries.get(&root.join(path));
        assert!(matches!(entry("bin"), Some(Entry::Link(to)) if to == Path::new("usr/bin")));
        assert!(matches!(entry("usr/bin/tool"), Some(Entry::Link(to)) if to == Path::new("../bin/./tool-2")));
        assert!(matches!(entry("usr/bin/tool-2"), Some(Entry::Copy(_))));
        assert!(matches!(entry("usr"), Some(Entry::Directory(_))));
        assert!(files.same(&root.join("usr")).is_err(), "a directory is not a file");
    }

    #[test]
    fn an_absolute_link_stays_in_the_root() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("bin/ip");
        fs::create_dir_all(directory.path().join("sbin")).expect("made");
        fs::create_dir_all(directory.path().join("bin")).expect("made");
        fs::write(&file, "x").expect("written");
        symlink("/bin/ip", directory.path().join("sbin/ip")).expect("made");
        let mut files = Files::of(Root::Below(directory.path().into(), Architecture::Aarch64));
        files.same(Path::new("/sbin/ip")).expect("a file");
        let entry = |path: &str| files.entries.get(Path::new(path));
        assert!(matches!(entry("/sbin/ip"), Some(Entry::Link(to)) if to == Path::new("/bin/ip")));
        assert!(matches!(entry("/bin/ip"), Some(Entry::Copy(source)) if *source == file));
    }
}
