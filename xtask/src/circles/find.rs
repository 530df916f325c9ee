//! Finds import cycles among the modules of a crate.

use std::{collections::BTreeMap, io, path::Path};

use super::{
    graph::circles,
    tree::{Module, Tree},
};

/// The import cycles of the crate whose root is `file`, each as a sentence.
///
/// On each level, a module's own file and its submodules are the nodes; a submodule includes all modules below it.
pub(crate) fn in_crate(file: &Path) -> io::Result<Vec<String>> {
    let tree = Tree::read(file)?;
    // By parent module: which part uses which other one, with an example.
    let mut levels: BTreeMap<Module, BTreeMap<Module, BTreeMap<Module, String>>> = BTreeMap::new();
    for (from, to, path) in tree.uses() {
        let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
        let part = |module: &Module| module[..module.len().min(common + 1)].to_vec();
        let example = format!("{} has {path}", name(from));
        let level = levels.entry(from[..common].to_vec()).or_default();
        level.entry(part(from)).or_default().entry(part(&to)).or_insert(example);
    }
    let told = levels.values().flat_map(|level| {
        circles(level).into_iter().map(|circle| {
            let next = circle.iter().cycle().skip(1);
            let steps = circle.iter().zip(next).map(|(from, to)| {
                let example = &level[*from][*to];
                format!("{} uses {} ({example})", name(from), name(to))
            });
            steps.collect::<Vec<_>>().join(", ")
        })
    });
    Ok(told.collect())
}

fn name(module: &Module) -> String {
    if module.is_empty() {
        "crate".to_owned()
    } else {
        module.join("::")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The cycles of a crate of these files, `lib.rs` first.
    fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        for (file, text) in files {
            let file = directory.path().join(file);
            fs::create_dir_all(file.parent().expect("a directory")).expect("made");
            fs::write(file, text).expect("written");
        }
        in_crate(&directory.path().join(files[0].0)).expect("all files are there")
    }

    #[test]
    fn modules_that_import_each_other_are_told_with_an_example() {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b/mod.rs", "mod inner; pub struct B;"),
            ("b/inner.rs", "fn inner() { crate::a::A; }"),
        ]);
        assert_eq!(
            found,
            ["a uses b (a has crate::b::B), b uses a (b::inner has crate::a::A)"]
        );
    }

    #[test]
    fn a_module_may_not_use_what_needs_its_own_items() {
        let parent = "mod child; pub struct Item; fn parent() { child::run(); }";
        let found = circles_of(&[("lib.rs", parent), ("child.rs", "use super::Item; pub fn run() {}")]);
        assert_eq!(
            found,
            ["crate uses child (crate has child::run), child uses crate (child has super::Item)"]
        );
    }

    #[test]
    fn who_merely_shows_a_module_does_not_use_it() {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b; pub use a::A; pub struct Item;"),
            ("a.rs", "use crate::{Item, b::B}; pub struct A(B);"),
            ("b/mod.rs", "mod inner; pub use inner::B;"),
            ("b/inner.rs", "use super::super::Item; pub struct B(Item);"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn what_is_shown_by_another_module_counts_for_where_it_is() {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b; pub use b::B;"),
            ("a.rs", "use crate::B; pub struct A;"),
            ("b.rs", "use crate::a; fn b() { a::A; }"),
        ]);
        assert_eq!(found, ["a uses b (a has crate::B), b uses a (b has a::A)"]);
    }

    #[test]
    fn tests_may_use_all_that_they_test() {
        let found = circles_of(&[
            ("lib.rs", "pub mod a;"),
            ("a.rs", "fn a() {} #[cfg(test)] mod tests; mod inline { use super::*; }"),
            ("a/tests.rs", "use super::*;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
