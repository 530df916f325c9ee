//! Asking an agent or a Prometheus over HTTP or HTTPS.
//!
//! Redirects are not followed, and proxies are not used: a token is sent to the address that the user gave, or nowhere.

mod access;
mod agent;
mod error;
mod service;

pub use access::Access;
pub use agent::AgentAddress;
pub use error::{Asked, Error};
pub use service::Service;

use crate::{api::Problem, failures::printable, url::Url};
use access::Token;
use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, HeaderName, LOCATION, USER_AGENT},
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client as Connections, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{fmt, time::Duration};
use tokio::time::timeout;

/// The limit of an answer's size, in bytes.
const LARGEST: usize = 1 << 30;

/// The longest wait between two pieces of an answer.
const PIECE: Duration = Duration::from_secs(30);

/// The number of characters of a service's message that are shown.
const SHOWN: usize = 300;

/// A client for one service.
#[derive(Debug)]
pub struct Client {
    asked: Asked,
    token: Option<Token>,
    connections: Connections<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Answer {
    asked: Asked,
    path: String,
    response: Response<Incoming>,
}

/// Shown as the service and its address.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.asked.fmt(f)
    }
}

impl Client {
    /// A client; it sends nothing yet.
    ///
    /// # Errors
    /// When the token may not be sent there, or when no CA can be read.
    pub fn new(service: Service, url: &Url, access: &Access) -> anyhow::Result<Self> {
        Ok(Self {
            token: access.token(service, url)?,
            connections: Connections::builder(TokioExecutor::new()).build(access.connector(url)?),
            asked: Asked::new(service, url.clone(), access.ca_file.as_deref()),
        })
    }

    /// The service and its address.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Requests `path`, which begins with a slash. The answer may have any status but redirects, 401 and 403, which are errors.
    ///
    /// # Errors
    /// When there is no answer, or one with such a status.
    pub async fn get(&self, path: &str, headers: &[(HeaderName, String)]) -> Result<Answer, Error> {
        let asked = &self.asked;
        let mut request = Request::get(format!("{}{path}", asked.url))
            .header(USER_AGENT, concat!("narrows/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.header().map_err(Error::Token)?);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).map_err(|error| asked.failed(&error))?;
        let patience = asked.service.patience();
        let response = timeout(patience, self.connections.request(request))
            .await
            .map_err(|_| asked.unreachable(format!("no answer within {} s", patience.as_secs())))?
            .map_err(|error| asked.failed(&error))?;
        let answer = Answer {
            asked: asked.clone(),
            path: path.split('?').next().unwrap_or(path).to_owned(),
            response,
        };
        match answer.status() {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                let said = answer.problem().await;
                let status = said.map_or_else(|| status.to_string(), |said| format!("{status}: {said}"));
                Err(asked.denied(&status, self.token.as_ref()))
            }
            status if status.is_redirection() => {
                let there = answer.response.headers().get(LOCATION);
                let there = there.map_or("elsewhere".into(), |there| String::from_utf8_lossy(there.as_bytes()));
                let there = printable(&there);
                Err(asked.unexpected(format!("{status}, to {there}; redirects are not followed")))
            }
            _ => Ok(answer),
        }
    }
}

impl Answer {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The answer itself, if its status is 200.
    ///
    /// # Errors
    /// Any other status, with the service's message.
    pub async fn ok(self) -> Result<Self, Error> {
        let status = self.status();
        if status == StatusCode::OK {
            return Ok(self);
        }
        let (asked, path) = (self.asked.clone(), self.path.clone());
        if status == StatusCode::NOT_FOUND {
            return Err(asked.unexpected(format!(
                "{status} for {path}; it is not {}, or not of this version",
                match asked.service {
                    Service::Agent => "an agent of Narrows",
                    Service::Prometheus => "a Prometheus",
                }
            )));
        }
        let body = self.whole().await?;
        // An agent explains itself in JSON; a proxy in between may not.
        let text = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => problem.message.into(),
            Err(_) => String::from_utf8_lossy(&body),
        };
        let why = match first_line(&text) {
            said if said.is_empty() => status.to_string(),
            said => format!("{said} ({status})"),
        };
        let asked = Box::new(asked);
        Err(match status.is_client_error() {
            true => Error::Rejected { asked, why },
            false => Error::Unavailable { asked, why },
        })
    }

    /// Why an agent refuses; `None` when somebody else does, or the answer is not complete.
    async fn problem(self) -> Option<String> {
        let body = self.whole().await.ok()?;
        let problem: Problem = serde_json::from_slice(&body).ok()?;
        Some(first_line(&problem.message))
    }

    /// The next piece of the body, after waiting for at most `patience`; `None` at its end.
    ///
    /// # Errors
    /// When it does not arrive in time.
    pub async fn piece(&mut self, patience: Duration) -> Result<Option<Bytes>, Error> {
        loop {
            match timeout(patience, self.response.body_mut().frame()).await {
                Err(_) => {
                    let why = format!("nothing received for {} s", patience.as_secs());
                    return Err(self.asked.unreachable(why));
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(self.asked.failed(&error)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// When it does not arrive in time, or is too large.
    pub async fn whole(mut self) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.piece(PIECE).await? {
            if all.len() + piece.len() > LARGEST {
                return Err(self.asked.unexpected(format!("more than {} MiB", LARGEST >> 20)));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

/// The first line of a service's text, as it may be shown.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    printable(&line.chars().take(SHOWN).collect::<String>()).into_owned()
}

/// Runs a client on this thread.
///
/// # Errors
/// When the runtime cannot be started, and those of `work`.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start tokio")?;
    runtime.block_on(work)
}
