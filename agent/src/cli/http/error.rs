//! Why there is no answer, as a sentence: what was tried, at which address, why it failed, what to do.

use super::{access::Token, service::Service, url::Url};
use rustls::CertificateError;
use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
};

/// Who was asked, and where.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it should be.
    pub service: Service,
    /// Where it should be.
    pub url: Url,
    /// The file of CAs that were trusted, when it is not the system's.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.service, self.url)
    }
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers, or not any more. It may be another time.
    #[error("cannot reach {asked}: {why}; {advice}")]
    Unreachable {
        /// Who was asked.
        asked: Box<Asked>,
        /// What came instead of an answer.
        why: String,
        /// What to do.
        advice: String,
    },
    /// It cannot answer now, and says so.
    #[error("{asked} cannot answer now: {why}; try again later")]
    Unavailable {
        /// Who was asked.
        asked: Box<Asked>,
        /// What it says.
        why: String,
    },
    /// It does not want to answer, and would not another time.
    #[error("{asked} rejected the request: {why}")]
    Rejected {
        /// Who was asked.
        asked: Box<Asked>,
        /// What it says, and what to do.
        why: String,
    },
    /// It answers, but not as it should.
    #[error("{asked} sent an unexpected answer: {why}; check {}", asked.service.flag())]
    Unexpected {
        /// Who was asked.
        asked: Box<Asked>,
        /// What is wrong with the answer.
        why: String,
    },
    /// There is no token to ask with.
    #[error("{0}")]
    Token(String),
}

impl Error {
    /// What went wrong, when the reader knows who was asked.
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
    /// Trusting the CAs of this file, or of the system.
    pub fn new(service: Service, url: Url, ca_file: Option<&Path>) -> Self {
        Self {
            service,
            url,
            ca_file: ca_file.map(Path::to_owned),
        }
    }

    /// Nobody answered, for a reason that it has words for.
    pub fn unreachable(&self, why: impl Into<String>) -> Error {
        Error::Unreachable {
            asked: Box::new(self.clone()),
            why: why.into(),
            advice: self.service.advice().to_owned(),
        }
    }

    /// It answered with something else.
    pub fn unexpected(&self, why: impl Into<String>) -> Error {
        Error::Unexpected {
            asked: Box::new(self.clone()),
            why: why.into(),
        }
    }

    /// Nobody answered: what the library says of it.
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

    /// What is wrong with the other end's TLS, and what to do.
    fn tls(&self, error: &rustls::Error) -> (String, String) {
        use CertificateError as Wrong;
        let flag = self.service.flag();
        match error {
            // Clusters often give their CAs the same name; then it is the signature that does not fit.
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

    /// It wants to know who asks, or does not want to tell this one.
    pub fn denied(&self, status: &str, token: Option<&Token>) -> Error {
        let why = match (token, self.service) {
            (Some(token), _) => format!("{status}; check that the bearer token {token} is valid, and may read there"),
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

/// An error and what caused it, one after the other. What an I/O error was made of is not its source.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        }
    })
}
