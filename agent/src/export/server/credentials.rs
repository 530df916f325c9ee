//! Who may ask at the API's own address: clients with a certificate or a bearer token, the agent's or one of the cluster.

use super::{
    super::{api::Problem, http::Arrival, rotating::Rotating},
    reviews::Reviews,
};
use crate::config::Files;
use anyhow::ensure;
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{path::PathBuf, sync::Arc};
use subtle::ConstantTimeEq as _;

/// The shortest token that is taken: what is shorter can be guessed.
const SHORTEST: usize = 16;

/// What is asked for.
pub struct Credentials {
    takes_certificates: bool,
    token: Option<Rotating<Vec<u8>>>,
    reviews: Option<Reviews>,
}

impl Credentials {
    /// Those in the configuration; `reviews` are for tokens of the cluster.
    ///
    /// # Errors
    /// The file of the token cannot be read, or the token is too short.
    pub fn new(files: &Files, reviews: Option<Reviews>) -> anyhow::Result<Self> {
        let token = files
            .token_file
            .iter()
            .map(|file| Rotating::new(vec![file.clone()], token));
        Ok(Self {
            takes_certificates: files.client_ca.is_some(),
            token: token.into_iter().next().transpose()?,
            reviews,
        })
    }

    /// Whether a request with these headers has them, for this path.
    ///
    /// # Errors
    /// The answer that says what is lacking.
    async fn check(&self, arrival: Arrival, headers: &HeaderMap, path: &str) -> Result<(), Problem> {
        if self.takes_certificates && arrival.has_certificate {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let Some(given) = given.filter(|_| self.takes_tokens()) else {
            return Err(Problem::unauthenticated(&format!(
                "this address asks for {}",
                self.wanted()
            )));
        };
        let given = bearer(given).unwrap_or_default();
        if self
            .token
            .as_ref()
            .is_some_and(|token| bool::from(given.ct_eq(&token.current())))
        {
            return Ok(());
        }
        match &self.reviews {
            Some(reviews) => reviews.check(given, path).await,
            None => Err(Problem::unauthenticated("the bearer token is not the agent's")),
        }
    }

    fn takes_tokens(&self) -> bool {
        self.token.is_some() || self.reviews.is_some()
    }

    fn wanted(&self) -> &'static str {
        match (self.takes_certificates, self.takes_tokens()) {
            (true, false) => "a client certificate",
            (false, _) => "a bearer token (Authorization: Bearer TOKEN)",
            (true, true) => "a client certificate or a bearer token (Authorization: Bearer TOKEN)",
        }
    }
}

/// Serves those who have the credentials, and tells the others what they lack.
pub async fn authenticate(
    State(credentials): State<Arc<Credentials>>,
    ConnectInfo(arrival): ConnectInfo<Arrival>,
    request: Request,
    next: Next,
) -> Response {
    match credentials
        .check(arrival, request.headers(), request.uri().path())
        .await
    {
        Ok(()) => next.run(request).await,
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"narrows\"")];
            (challenge, problem).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// The token in the header `Authorization`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn token(files: &[PathBuf], contents: &[Vec<u8>]) -> anyhow::Result<Vec<u8>> {
    let token = contents[0].trim_ascii();
    ensure!(
        token.len() >= SHORTEST,
        "the bearer token in {} has {} characters, but must have at least {SHORTEST}: make one with `openssl rand -hex 32`",
        files[0].display(),
        token.len()
    );
    Ok(token.to_vec())
}
