//! Files that are read again when they change, such as certificates.

use anyhow::Context;
use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often the files are looked at, at most: when somebody connects or asks.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Makes a value of the files' contents.
type Make<T> = fn(&[PathBuf], &[Vec<u8>]) -> anyhow::Result<T>;

/// A value that is made of files, and made again when they change. Whoever replaces them one after the other has both the old
/// value and the new one in effect for a moment, never half of each: what does not fit together is not used.
pub struct Rotating<T> {
    files: Vec<PathBuf>,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// As last looked at, also when nothing could be made of them.
    contents: Vec<Vec<u8>>,
    error: Option<String>,
    value: Arc<T>,
    looked: Instant,
}

impl<T> Rotating<T> {
    /// The value of these files.
    ///
    /// # Errors
    /// A file cannot be read, or what is in it cannot be used.
    pub fn new(files: Vec<PathBuf>, make: Make<T>) -> anyhow::Result<Self> {
        let contents = read(&files)?;
        let value = Arc::new(make(&files, &contents)?);
        let state = State {
            contents,
            error: None,
            value,
            looked: Instant::now(),
        };
        Ok(Self {
            files,
            make,
            state: Mutex::new(state),
        })
    }

    /// The value as of now. While the files cannot be used, the last one that could.
    pub fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= EVERY {
            state.looked = Instant::now();
            self.look(&mut state);
        }
        state.value.clone()
    }

    fn look(&self, state: &mut State<T>) {
        let made = match read(&self.files) {
            Ok(contents) if contents == state.contents => return,
            Ok(contents) => {
                let made = (self.make)(&self.files, &contents);
                state.contents = contents;
                made
            }
            Err(error) => Err(error),
        };
        match made {
            Ok(value) => {
                let files: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
                tracing::info!("{} changed: the new version is in use", files.join(", "));
                (state.value, state.error) = (Arc::new(value), None);
            }
            Err(error) => {
                let error = format!("{error:#}");
                // Once, not at each connection.
                if state.error.as_ref() != Some(&error) {
                    tracing::warn!("{error}; the version before stays in use");
                }
                state.error = Some(error);
            }
        }
    }
}

fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    files
        .iter()
        .map(|file| fs::read(file).with_context(|| format!("cannot read {}", file.display())))
        .collect()
}
