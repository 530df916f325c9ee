//! Who may ask at the API's own address: clients with a certificate or a bearer token.

use super::{
    super::{api::Problem, http::Arrival},
    rotating::Rotating,
};
use crate::config::Files;
use anyhow::ensure;
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, header},
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
}

impl Credentials {
    /// Those in the configuration.
    ///
    /// # Errors
    /// The file of the token cannot be read, or the token is too short.
    pub fn new(files: &Files) -> anyhow::Result<Self> {
        let token = files
            .token_file
            .iter()
            .map(|file| Rotating::new(vec![file.clone()], token));
        Ok(Self {
            takes_certificates: files.client_ca.is_some(),
            token: token.into_iter().next().transpose()?,
        })
    }

    /// Whether this request has them.
    ///
    /// # Errors
    /// The answer that says what is lacking.
    fn check(&self, arrival: Arrival, headers: &HeaderMap) -> Result<(), Problem> {
        if self.takes_certificates && arrival.has_certificate {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let wanted = match (self.takes_certificates, &self.token) {
            (true, None) => "a client certificate",
            (false, _) => "a bearer token (Authorization: Bearer TOKEN)",
            (true, Some(_)) => "a client certificate or a bearer token (Authorization: Bearer TOKEN)",
        };
        match (given, &self.token) {
            (Some(given), Some(token)) => {
                let is_right = bearer(given).is_some_and(|given| bool::from(given.ct_eq(&token.current())));
                is_right
                    .then_some(())
                    .ok_or_else(|| Problem::unauthenticated("the bearer token is not the agent's"))
            }
            _ => Err(Problem::unauthenticated(&format!("this address asks for {wanted}"))),
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
    match credentials.check(arrival, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"narrows\"")];
            (challenge, problem).into_response()
        }
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
