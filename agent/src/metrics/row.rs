//! What tells the rows of a family apart: their labels, with values.

use std::borrow::Cow;

/// The names and values of the labels of a row.
pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// These labels and more of them.
pub fn with<'a>(mut labels: Labels<'a>, more: impl IntoIterator<Item = (&'static str, &'a str)>) -> Labels<'a> {
    labels.extend(more.into_iter().map(|(name, value)| (name, value.into())));
    labels
}
