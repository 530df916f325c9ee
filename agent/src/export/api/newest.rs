//! The snapshot that answers are built from.

use super::{
    super::{publish::Published, snapshot::Snapshot},
    problem::Problem,
};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// The newest snapshot.
///
/// # Errors
/// Before the first tick has ended.
pub fn newest(published: &Published) -> Result<Arc<Snapshot>, Problem> {
    published.newest().ok_or_else(Problem::starting)
}

/// What is built on a thread of its own.
///
/// # Errors
/// Those of `build`, and when it panics.
pub async fn built<T: Send + 'static>(
    build: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let built = spawn_blocking(build).await;
    built.unwrap_or_else(|error| Err(Problem::internal(&error)))
}
