//! Where an agent serves HTTP.

use hyper::Uri;
use std::{fmt, str::FromStr};

/// `http://<host>[:<port>][/<path>]`; the path is that of a proxy in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentUrl {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port; 80 unless it is given, as everywhere.
    pub port: u16,
    authority: String,
    path: String,
}

impl AgentUrl {
    /// The value of the `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands before the paths of the agent; empty, or with a slash at its beginning and none at its end.
    pub fn prefix(&self) -> &str {
        &self.path
    }
}

impl FromStr for AgentUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "say http://127.0.0.1:9797";
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let uri: Uri = whole.parse().map_err(|_| format!("it is no URL: {example}"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("the agent serves plain HTTP: {example}"));
        }
        let (Some(authority), None) = (uri.authority(), uri.query()) else {
            return Err(format!("it must be a host and perhaps a path: {example}"));
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(format!("it must have a host and no user: {example}"));
        }
        Ok(Self {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for AgentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, host, port, prefix, shown) in [
            ("http://127.0.0.1:9797", "127.0.0.1", 9797, "", "http://127.0.0.1:9797"),
            ("http://node-1/", "node-1", 80, "", "http://node-1"),
            ("node-1:9797", "node-1", 9797, "", "http://node-1:9797"),
            ("http://[fd00::1]:9797", "fd00::1", 9797, "", "http://[fd00::1]:9797"),
            (
                "http://127.0.0.1:8001/api/v1/pods/x:9797/proxy/",
                "127.0.0.1",
                8001,
                "/api/v1/pods/x:9797/proxy",
                "http://127.0.0.1:8001/api/v1/pods/x:9797/proxy",
            ),
        ] {
            let url: AgentUrl = text.parse().expect(text);
            assert_eq!(
                (url.host.as_str(), url.port, url.prefix()),
                (host, port, prefix),
                "{text}"
            );
            assert_eq!(url.to_string(), shown);
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for text in [
            "https://a:1",
            "http://",
            "",
            "http://a b",
            "http://u:p@a",
            "http://a/?x=1",
            "unix:///run/a",
        ] {
            let error = text.parse::<AgentUrl>().expect_err(text);
            assert!(error.ends_with(": say http://127.0.0.1:9797"), "{text}: {error}");
        }
    }
}
