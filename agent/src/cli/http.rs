//! One request to an agent, and its answer.

use super::url::AgentUrl;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use std::{io, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// For a connection, and for the head of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// No answer is larger, in bytes.
const LARGEST: usize = 1 << 30;

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody answers, or not any more. It may be another time.
    #[error(
        "no agent answers at {url}: {why}; start `narrows agent` there, or say with --agent where it is (one in a pod: \
         kubectl port-forward)"
    )]
    Away {
        /// Who was asked.
        url: AgentUrl,
        /// What came instead of an answer.
        why: String,
    },
    /// The answer is a refusal, and would be another time, too.
    #[error("{url} refuses: {why}")]
    Refused {
        /// Who was asked.
        url: AgentUrl,
        /// What it says.
        why: String,
    },
    /// It cannot answer now.
    #[error("{url} cannot answer: {why}")]
    Busy {
        /// Who was asked.
        url: AgentUrl,
        /// What it says.
        why: String,
    },
}

impl Trouble {
    /// Without what was asked and what to do.
    pub fn why(&self) -> &str {
        match self {
            Self::Away { why, .. } | Self::Refused { why, .. } | Self::Busy { why, .. } => why,
        }
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Answer {
    url: AgentUrl,
    response: Response<Incoming>,
}

/// Asks for `path`, which begins with a slash.
///
/// # Errors
/// When there is no answer, or when it is no good one.
pub async fn get(url: &AgentUrl, path: &str, headers: &[(&str, String)]) -> Result<Answer, Trouble> {
    let away = |why: String| Trouble::Away { url: url.clone(), why };
    let mut request = Request::get(format!("{}{path}", url.prefix()))
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("narrows/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| away(error.to_string()))?;
    let response = timeout(PATIENCE, send(url, request))
        .await
        .unwrap_or_else(|_| Err(format!("nothing came within {} s", PATIENCE.as_secs())))
        .map_err(away)?;
    let status = response.status();
    let answer = Answer {
        url: url.clone(),
        response,
    };
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let said = answer.whole(PATIENCE).await?;
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or_default().trim();
    let url = url.clone();
    Err(match status {
        StatusCode::NOT_FOUND => Trouble::Refused {
            url,
            why: "it does not know of failures (404); is it an agent of this version?".to_owned(),
        },
        status if status.is_client_error() => Trouble::Refused {
            url,
            why: line.to_owned(),
        },
        status => Trouble::Busy {
            url,
            why: format!("{line} ({status})"),
        },
    })
}

async fn send(url: &AgentUrl, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, String> {
    let told = |error: hyper::Error| error.to_string();
    let stream = TcpStream::connect((url.host.as_str(), url.port))
        .await
        .map_err(|error: io::Error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    // It ends with the answer; what is wrong with it shows there.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(told)
}

impl Answer {
    /// The next piece of the body, for which is waited at most `patience`; `None` at its end.
    pub async fn piece(&mut self, patience: Duration) -> Result<Option<Bytes>, Trouble> {
        let away = |why: String| Trouble::Away {
            url: self.url.clone(),
            why,
        };
        loop {
            match timeout(patience, self.response.body_mut().frame()).await {
                Err(_) => return Err(away(format!("nothing came for {} s", patience.as_secs()))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(away(error.to_string())),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body.
    pub async fn whole(mut self, patience: Duration) -> Result<Bytes, Trouble> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.piece(patience).await? {
            if all.len() + piece.len() > LARGEST {
                return Err(Trouble::Refused {
                    url: self.url,
                    why: "its answer has no end".to_owned(),
                });
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}
