//! Whom the agent asks for answers about all nodes (`api.peers`).

use crate::url::Url;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The agents of other nodes, and what it takes to be answered by them. Files are read again when they change.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peers {
    /// Where they serve the API, as `[http[s]://]<host>[:<port>]`. Each address that a name has is an agent; names are resolved anew
    /// for each question.
    pub addresses: Vec<String>,
    /// The CAs, in PEM, to trust for https; if not set, those of the system.
    pub ca: Option<PathBuf>,
    /// The bearer token to send over https; if not set, that of `api.token_file`.
    pub token_file: Option<PathBuf>,
    /// A client certificate with its intermediates, in PEM.
    pub certificate: Option<PathBuf>,
    /// The client certificate's private key, in PEM.
    pub key: Option<PathBuf>,
}

impl Peers {
    /// The addresses, parsed.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn urls(&self) -> Result<Vec<Url>, String> {
        let parsed = self.addresses.iter().enumerate().map(|(n, address)| {
            let url = address.parse::<Url>();
            url.map_err(|why| format!("api.peers.addresses[{n}] is {address:?}: {why}"))
        });
        parsed.collect()
    }

    /// Checks that the fields are valid, and fit together.
    pub(super) fn validate(&self) -> Result<(), String> {
        let urls = self.urls()?;
        let given = [
            ("api.peers.ca", self.ca.is_some()),
            ("api.peers.token_file", self.token_file.is_some()),
            ("api.peers.certificate", self.certificate.is_some()),
            ("api.peers.key", self.key.is_some()),
        ];
        let first = given.into_iter().find(|(_, is_given)| *is_given);
        let plain = urls.iter().enumerate().find(|(_, url)| !url.is_https);
        match (&self.certificate, &self.key, first, plain) {
            (Some(_), None, ..) => {
                Err("api.peers.certificate is set without api.peers.key, its private key".to_owned())
            }
            (None, Some(_), ..) => Err("api.peers.key is set without api.peers.certificate".to_owned()),
            (_, _, Some((field, _)), Some((n, url))) => Err(format!(
                "{field} is set, but api.peers.addresses[{n}] is {url}, where anybody on the way could read and change what is sent: \
                 use https://"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(addresses: &[&str], set: impl FnOnce(&mut Peers)) -> Result<(), String> {
        let mut peers = Peers {
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
            ..Peers::default()
        };
        set(&mut peers);
        peers.validate()
    }

    #[test]
    fn what_does_not_fit_together_is_refused_by_its_field() {
        let file = || Some(PathBuf::from("/file"));
        for (found, expected) in [
            (
                peers(&["a:1", "ftp://b"], |_| {}),
                "api.peers.addresses[1] is \"ftp://b\": only http and https are supported",
            ),
            (
                peers(&["https://a:1"], |peers| peers.certificate = file()),
                "api.peers.certificate is set without api.peers.key",
            ),
            (
                peers(&["https://a:1"], |peers| peers.key = file()),
                "api.peers.key is set without api.peers.certificate",
            ),
            (
                peers(&["https://a:1", "b:1"], |peers| peers.token_file = file()),
                "api.peers.token_file is set, but api.peers.addresses[1] is http://b:1, where anybody",
            ),
        ] {
            let error = found.expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(peers(&[], |_| {}), Ok(()));
        // Addresses may come from a flag.
        assert_eq!(peers(&[], |peers| peers.ca = file()), Ok(()));
        assert_eq!(peers(&["a:1", "[fd00::1]:1"], |_| {}), Ok(()));
        let all = peers(&["https://a:1"], |peers| {
            (peers.ca, peers.token_file) = (file(), file());
            (peers.certificate, peers.key) = (file(), file());
        });
        assert_eq!(all, Ok(()));
    }
}
