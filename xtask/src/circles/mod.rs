//! Import cycles between modules, direct or indirect: modules in a cycle cannot be read, changed or tested alone.

mod find;
mod graph;
mod source;
mod tree;

pub(crate) use find::in_crate;
