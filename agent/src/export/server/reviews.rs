//! Tokens of the cluster: whose they are, and what these may read, as the Kubernetes API server has answered in the last minute.

use super::super::api::Problem;
use crate::identity::kubernetes::{PREFIX, ReviewError, Reviewer};
use k8s_openapi::api::authentication::v1::UserInfo;
use moka::future::Cache;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// How long an answer is used: so long a token is still taken that was revoked, and one is still refused that was allowed.
pub const LASTS: Duration = Duration::from_secs(60);

/// Tokens that are known. A token that is seen once does not displace one that is seen often, so made-up ones displace none.
const TOKENS: u64 = 512;

/// Answers about a token and a path that are known: 32 bytes each, and what the cache adds.
const PERMITS: u64 = 8_192;

/// Reviews at a time, so that made-up tokens cost the API server little. Further ones wait.
const AT_A_TIME: usize = 4;

/// Instead of a token itself, which is not kept.
type Digest = [u8; SHA256_OUTPUT_LEN];

/// What the API server has answered.
pub struct Reviews {
    reviewer: Reviewer,
    users: Cache<Digest, Option<Arc<UserInfo>>>,
    permits: Cache<Digest, bool>,
    places: Semaphore,
    /// Whether the last review failed, which is logged once.
    is_failing: AtomicBool,
}

impl Reviews {
    /// None yet.
    pub fn new(reviewer: Reviewer) -> Self {
        Self::lasting(reviewer, LASTS)
    }

    /// With answers that are used for another time.
    pub(super) fn lasting(reviewer: Reviewer, lasts: Duration) -> Self {
        Self {
            reviewer,
            users: Cache::builder().max_capacity(TOKENS).time_to_live(lasts).build(),
            permits: Cache::builder().max_capacity(PERMITS).time_to_live(lasts).build(),
            places: Semaphore::new(AT_A_TIME),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Whether whoever has this token may read this path of the agent.
    ///
    /// # Errors
    /// The answer that says why not.
    pub async fn check(&self, token: &[u8], path: &str) -> Result<(), Problem> {
        let refused = || {
            Problem::unauthenticated(
                "the Kubernetes API server does not accept the bearer token: it may have expired, or be for another audience",
            )
        };
        let Some(token) = std::str::from_utf8(token).ok().filter(|token| !token.is_empty()) else {
            return Err(refused());
        };
        // Whoever asks for the same at the same time waits for one answer. Errors are not kept.
        let whose = digest(&[token.as_bytes()]);
        let user = self.users.try_get_with(
            whose,
            self.ask(async { Ok(self.reviewer.user(token).await?.map(Arc::new)) }),
        );
        let user = user.await.map_err(|error| Problem::unreviewed(&*error))?;
        let user = user.ok_or_else(refused)?;
        let permit = self.permits.try_get_with(
            digest(&[&whose, path.as_bytes()]),
            self.ask(self.reviewer.may_get(&user, path)),
        );
        match permit.await.map_err(|error| Problem::unreviewed(&*error))? {
            true => Ok(()),
            false => {
                let name = user.username.as_deref().unwrap_or_default();
                Err(Problem::forbidden(name, &format!("{PREFIX}{path}")))
            }
        }
    }

    /// Waits for a place, and logs when reviews begin to fail and when they succeed again.
    async fn ask<T>(&self, review: impl Future<Output = Result<T, ReviewError>>) -> Result<T, ReviewError> {
        // Never closed.
        let _place = self.places.acquire().await;
        let answer = review.await;
        match (&answer, self.is_failing.swap(answer.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => tracing::warn!("requests with a token of the cluster get 503: {error}"),
            (Ok(_), true) => tracing::info!("the API server reviews tokens and access again"),
            _ => {}
        }
        answer
    }
}

fn digest(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; SHA256_OUTPUT_LEN];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
