//! The modules of a crate, and the resolution of paths.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path as File, PathBuf},
};

use super::source::Source;

/// A module, as the names on the path from the root of the crate; empty for the root.
pub(super) type Module = Vec<String>;

/// The limit of re-exports that are followed for one name.
const HOPS: usize = 16;

/// All modules that have their own files.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<Module, Source>);

/// The target of a path.
enum End {
    Module(Module),
    /// Something that this module defines.
    Item(Module),
}

impl Tree {
    /// Reads the crate whose root is `file`.
    pub fn read(file: &File) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.add(file, Module::new())?;
        Ok(tree)
    }

    fn add(&mut self, file: &File, module: Module) -> io::Result<()> {
        let source = Source::read(&fs::read_to_string(file)?);
        let directory = directory(file, &module);
        for name in &source.modules {
            let file = directory.join(format!("{name}.rs"));
            let file = if file.exists() {
                file
            } else {
                directory.join(name).join("mod.rs")
            };
            self.add(&file, [module.clone(), vec![name.clone()]].concat())?;
        }
        self.0.insert(module, source);
        Ok(())
    }

    /// Pairs of a module and another module that it uses, with the path.
    ///
    /// A mere re-export does not count as use.
    pub fn uses(&self) -> Vec<(&Module, Module, String)> {
        let mut uses = Vec::new();
        for (module, source) in &self.0 {
            let needed = |name: &str| source.paths.iter().any(|path| path[0] == name);
            let imports = source.imports.iter();
            let imports = imports.filter(|import| !import.shown || needed(&import.name));
            let imports = imports.map(|import| (&import.path, import.name == "*"));
            for (path, all) in imports.chain(source.paths.iter().map(|path| (path, false))) {
                let used = match self.follow(module, path, HOPS) {
                    Some(End::Module(used)) if all => used,
                    Some(End::Item(used)) => used,
                    _ => continue,
                };
                if used != *module {
                    uses.push((module, used, path.join("::")));
                }
            }
        }
        uses
    }

    /// The target of a path in `module`; `None` if it is outside of the crate or in the module itself.
    fn follow(&self, module: &Module, path: &[String], hops: usize) -> Option<End> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Module::new(),
            "self" => module.clone(),
            "super" => parent(module)?,
            _ => {
                let end = self.member(module, first, hops)?;
                return self.go_on(end, rest, hops);
            }
        };
        while let Some((word, further)) = rest.split_first()
            && word == "super"
        {
            (at, rest) = (parent(&at)?, further);
        }
        self.go_on(End::Module(at), rest, hops)
    }

    fn go_on(&self, mut end: End, path: &[String], hops: usize) -> Option<End> {
        for name in path {
            let End::Module(at) = end else {
                // A variant, or an associated function.
                break;
            };
            end = match self.member(&at, name, hops) {
                Some(member) => member,
                None if self.0[&at].imports.iter().any(|import| import.name == *name) => return None,
                None => End::Item(at),
            };
        }
        Some(end)
    }

    /// The item that a module declares or imports under a name.
    fn member(&self, module: &Module, name: &str, hops: usize) -> Option<End> {
        let source = &self.0[module];
        if source.modules.iter().any(|declared| declared == name) {
            return Some(End::Module([module.clone(), vec![name.to_owned()]].concat()));
        }
        let import = source.imports.iter().find(|import| import.name == name)?;
        self.follow(module, &import.path, hops.checked_sub(1)?)
    }
}

fn parent(module: &Module) -> Option<Module> {
    module.split_last().map(|(_, parent)| parent.to_vec())
}

/// The directory of the files of a module's submodules.
fn directory(file: &File, module: &Module) -> PathBuf {
    let directory = file.parent().map(File::to_owned).unwrap_or_default();
    let is_directory = module.is_empty() || file.ends_with("mod.rs");
    match file.file_stem() {
        Some(stem) if !is_directory => directory.join(stem),
        _ => directory,
    }
}
