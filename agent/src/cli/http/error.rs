//! Errors of requests, as sentences: what was tried, at which address, why it failed, what to do.

use super::{access::Token, service::Service};
use crate::url::Url;
use rustls::CertificateError;
use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
};

/// The service that was asked, and its address.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The kind of service that is expected there.
    pub service: Service,
    /// Its address, as the user gave it.
    pub url: Url,
    /// The file of CAs to trust, if given; else those of the system.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.service, self.url)
    }
}

/// Why there is no answer, or no complete one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service does not answer, or stopped answering. A later attempt may succeed.
    #[error("cannot reach {asked}: {why}; {advice}")]
    Unreachable {
        /// The service and its address.
        asked: Box<Asked>,
        /// Why it cannot be reached.
        why: String,
        /// What the user can do.
        advice: String,
    },
    /// The service answers that it cannot handle the request now.
    #[error("{asked} cannot answer now: {why}; try again later")]
    Unavailable {
        /// The service and its address.
        asked: Box<Asked>,
        /// The message of its answer.
        why: String,
    },
    /// The service rejects the request, and would reject it again.
    #[error("{asked} rejected the request: {why}")]
    Rejected {
        /// The service and its address.
        asked: Box<Asked>,
        /// The message of its answer, and what to do.
        why: String,
    },
    /// The answer is not that of the expected service.
    #[error("{asked} sent an unexpected answer: {why}; check {}", asked.service.flag())]
    Unexpected {
        /// The service and its address.
        asked: Box<Asked>,
        /// What is wrong with the answer.
        why: String,
    },
    /// The token cannot be read or sent.
    #[error("{0}")]
    Token(String),
}

impl Error {
    /// The reason alone, for messages that name the service themselves.
    pub fn why(&self) -> &str {
        match self {
            Self::Unreachable { why, .. }
            | Self::Unavailable { why, .. }
            | Self::Rejected { why, .. }
            | Self::Unexpected { why, .. }
            | Self::Token(why) => why,
        }
    }
}

impl Asked {
    /// A service to ask, trusting the CAs of this file, or of the system.
    pub fn new(service: Service, url: Url, ca_file: Option<&Path>) -> Self {
        Self {
            service,
            url,
            ca_file: ca_file.map(Path::to_owned),
        }
    }

    /// The service cannot be reached, for the given reason.
    pub fn unreachable(&self, why: impl Into<String>) -> Error {
        Error::Unreachable {
            asked: Box::new(self.clone()),
            why: why.into(),
            advice: self.service.advice().to_owned(),
        }
    }

    /// The answer was not that of the expected service.
    pub fn unexpected(&self, why: impl Into<String>) -> Error {
        Error::Unexpected {
            asked: Box::new(self.clone()),
            why: why.into(),
        }
    }

    /// The request failed with an error of the HTTP library.
    pub fn failed(&self, error: &(dyn StdError + 'static)) -> Error {
        let causes = || causes(error);
        let tls = causes().find_map(|cause| cause.downcast_ref::<rustls::Error>());
        let is_other_protocol = causes()
            .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
            .any(hyper::Error::is_parse);
        let (why, advice) = match tls {
            Some(error) => self.tls(error),
            None if is_other_protocol && !self.url.is_https => (
                "it does not answer with HTTP".to_owned(),
                "use https:// if it serves TLS".to_owned(),
            ),
            None => {
                let innermost = causes().last().map(ToString::to_string);
                return self.unreachable(innermost.unwrap_or_default());
            }
        };
        Error::Unreachable {
            asked: Box::new(self.clone()),
            why,
            advice,
        }
    }

    /// What is wrong with the service's TLS, and what to do.
    fn tls(&self, error: &rustls::Error) -> (String, String) {
        use CertificateError as Wrong;
        let flag = self.service.flag();
        match error {
            // Clusters often give their CAs the same name; then the signature is what does not match.
            rustls::Error::InvalidCertificate(Wrong::UnknownIssuer | Wrong::BadSignature) => {
                let trusted = match &self.ca_file {
                    Some(file) => format!("a CA in {}", file.display()),
                    None => "a CA that this system trusts".to_owned(),
                };
                (
                    format!("its certificate is not signed by {trusted}"),
                    "pass the certificate of its CA with --ca-file".to_owned(),
                )
            }
            rustls::Error::InvalidCertificate(Wrong::NotValidForName | Wrong::NotValidForNameContext { .. }) => (
                format!("its certificate is not valid for {}", self.url.host),
                format!("pass a name that the certificate has with {flag}"),
            ),
            rustls::Error::InvalidCertificate(Wrong::Expired | Wrong::ExpiredContext { .. }) => (
                "its certificate has expired".to_owned(),
                "renew it, or check this machine's clock".to_owned(),
            ),
            rustls::Error::InvalidMessage(_) => (
                "it does not answer with TLS".to_owned(),
                "use http:// if it serves no TLS".to_owned(),
            ),
            other => (
                format!("TLS handshake failed: {other}"),
                format!("check {flag}, and the certificate there"),
            ),
        }
    }

    /// The service requires authentication (401), or denies access (403).
    pub fn denied(&self, status: &str, token: Option<&Token>) -> Error {
        let why = match (token, self.service) {
            (Some(token), _) => {
                format!("{status}; check that the bearer token {token} is valid, and allows reading there")
            }
            (None, Service::Agent) => format!("{status}; pass a bearer token with --bearer-token-file"),
            (None, Service::Prometheus) => {
                format!("{status}; pass a bearer token with --bearer-token-file or NARROWS_PROMETHEUS_TOKEN")
            }
        };
        Error::Rejected {
            asked: Box::new(self.clone()),
            why,
        }
    }
}

/// An error and its chain of causes. The inner error of an I/O error is not its `source`, so it is followed separately.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        }
    })
}
