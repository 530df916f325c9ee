//! The labels, with values, that distinguish the rows of a family.

use std::borrow::Cow;

/// The names and values of the labels of a row.
pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// Appends labels to these.
pub fn with<'a>(mut labels: Labels<'a>, more: impl IntoIterator<Item = (&'static str, &'a str)>) -> Labels<'a> {
    labels.extend(more.into_iter().map(|(name, value)| (name, value.into())));
    labels
}
