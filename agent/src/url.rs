//! Addresses of HTTP services, as flags and variables give them.

use hyper::Uri;
use std::{fmt, net::IpAddr, str::FromStr};

/// The part of an error that shows the expected form.
const EXAMPLE: &str = "expected e.g. http://127.0.0.1:9797 or https://HOST/PATH";

/// `[http[s]://]<host>[:<port>][/<path>]`; the path is that of a proxy in between, or a prefix that the service has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub is_https: bool,
    /// A name or an address, without brackets.
    pub host: String,
    authority: String,
    path: String,
}

impl Url {
    /// The port: that of the scheme where none is given.
    pub fn port(&self) -> u16 {
        let given = self.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        given.unwrap_or(if self.is_https { 443 } else { 80 })
    }

    /// Host and port, as given: the value of the header `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What precedes the path of each request: empty, or with a slash at its beginning and none at its end.
    pub fn prefix(&self) -> &str {
        &self.path
    }

    /// Whether data sent there stays on this machine: the name `localhost`, or a loopback address. What other names resolve
    /// to is up to a name server.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let uri: Uri = whole.parse().map_err(|_| format!("not a valid URL, {EXAMPLE}"))?;
        let is_https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("only http and https are supported, {EXAMPLE}")),
        };
        let (Some(authority), None) = (uri.authority(), uri.query()) else {
            return Err(format!("not a host with an optional path, {EXAMPLE}"));
        };
        if authority.as_str().contains('@') {
            return Err(format!(
                "user names and passwords are not supported (a token is given as a file), {EXAMPLE}"
            ));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(format!("it has no host, {EXAMPLE}"));
        }
        Ok(Self {
            is_https,
            host: host.to_owned(),
            authority: authority.to_string(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// Without a slash at the end, so that a path can follow.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, host, shown) in [
            ("http://127.0.0.1:9797", "127.0.0.1", "http://127.0.0.1:9797"),
            ("http://node-1/", "node-1", "http://node-1"),
            ("node-1:9797", "node-1", "http://node-1:9797"),
            ("http://[fd00::1]:9797", "fd00::1", "http://[fd00::1]:9797"),
            (
                "http://127.0.0.1:8001/api/v1/pods/x:9797/proxy/",
                "127.0.0.1",
                "http://127.0.0.1:8001/api/v1/pods/x:9797/proxy",
            ),
            ("https://mimir/prometheus/", "mimir", "https://mimir/prometheus"),
            ("HTTPS://[::1]", "::1", "https://[::1]"),
        ] {
            let url: Url = text.parse().expect(text);
            assert_eq!((url.host.as_str(), url.to_string().as_str()), (host, shown), "{text}");
            assert_eq!(url.is_https, shown.starts_with("https"), "{text}");
        }
    }

    #[test]
    fn the_port_is_the_given_one_or_that_of_the_scheme() {
        for (text, port) in [
            ("node-1:9797", 9797),
            ("http://node-1", 80),
            ("https://node-1/x", 443),
            ("https://[fd00::1]", 443),
            ("[fd00::1]:9798", 9798),
        ] {
            assert_eq!(text.parse::<Url>().expect(text).port(), port, "{text}");
        }
    }

    #[test]
    fn other_urls_are_rejected() {
        for (text, why) in [
            ("http://", "not a valid URL"),
            ("", "not a valid URL"),
            ("http://a b", "not a valid URL"),
            ("ftp://a:1", "only http and https are supported"),
            ("unix:///run/a", "not a valid URL"),
            ("http://u:p@a", "user names and passwords are not supported"),
            ("http://a/?x=1", "not a host with an optional path"),
            ("http://:80", "it has no host"),
        ] {
            let error = text.parse::<Url>().expect_err(text);
            assert!(error.starts_with(why) && error.ends_with(EXAMPLE), "{text}: {error}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (text, expected) in [
            ("http://127.0.0.1:9797", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:9797", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://LocalHost:9797", true),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
            ("http://0.0.0.0", false),
            ("http://10.0.0.1", false),
            ("http://[fd00::1]", false),
            ("http://prometheus", false),
        ] {
            assert_eq!(text.parse::<Url>().expect(text).is_loopback(), expected, "{text}");
        }
    }
}
