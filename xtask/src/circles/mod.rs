//! Modules that import each other, directly or by way of others: neither of them can be read, changed or tested alone.

mod find;
mod graph;
mod source;
mod tree;

pub(crate) use find::in_crate;
