//! Reading the YAML files that users write, with errors that name file, line and field.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// What is wrong with a file, and where.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}{}: {what}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct FileError {
    /// The path of the file.
    pub file: PathBuf,
    /// Its line, from 1 on, when known.
    pub line: Option<u64>,
    /// What is wrong, with the field's name.
    pub what: String,
}

impl FileError {
    /// An error at a line of a file.
    pub fn at(file: &Path, line: u64, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: (line > 0).then_some(line),
            what: what.into(),
        }
    }
}

/// Reads a file.
///
/// # Errors
/// When it cannot be read, or is not what `T` asks for.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T, FileError> {
    let text = std::fs::read_to_string(file).map_err(|error| FileError {
        file: file.to_owned(),
        line: None,
        what: format!("cannot be read: {error}"),
    })?;
    parse(file, &text)
}

/// Parses `text`, the contents of `file`.
///
/// # Errors
/// When it is not what `T` asks for.
pub fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, FileError> {
    // An empty document is treated as an empty mapping: every field has its default, or is reported as missing.
    let text = if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        "{}"
    } else {
        text
    };
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let what = error.without_snippet().to_string();
        // The parser repeats the line at the end of its message.
        let what = what.split(" at line ").next().unwrap_or(&what).to_owned();
        FileError::at(file, line, what)
    })
}
