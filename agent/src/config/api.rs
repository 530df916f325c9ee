//! Who may ask the API at its own address (`api`).

use super::peers::Peers;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// TLS and credentials at `api_listen`. Files are read again when they change.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// The certificate with its intermediates, in PEM.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    pub key: Option<PathBuf>,
    /// The CAs, in PEM, whose clients may ask.
    pub client_ca: Option<PathBuf>,
    /// A bearer token: who has it may ask.
    pub token_file: Option<PathBuf>,
    /// Whether those may ask with a token of the cluster whom its roles allow it.
    pub kubernetes: bool,
    /// The audiences of which such a token must have one; if empty, that of the API server.
    pub audiences: Vec<String>,
    /// Whether everybody who reaches `api_listen` may ask, without TLS.
    pub anonymous: bool,
    /// The agents of other nodes.
    pub peers: Peers,
}

/// Where the certificate and the key are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate with its intermediates, in PEM.
    pub certificate: PathBuf,
    /// The certificate's private key, in PEM.
    pub key: PathBuf,
    /// The CAs of clients.
    pub client_ca: Option<PathBuf>,
    /// The bearer token.
    pub token_file: Option<PathBuf>,
}

impl Api {
    /// The files; `None` when there is neither TLS nor authentication.
    pub fn files(&self) -> Option<Files> {
        Some(Files {
            certificate: self.certificate.clone()?,
            key: self.key.clone()?,
            client_ca: self.client_ca.clone(),
            token_file: self.token_file.clone(),
        })
    }

    /// Checks that the fields fit together, and with the addresses.
    pub(super) fn validate(&self, listen: SocketAddr, api_listen: Option<SocketAddr>) -> Result<(), String> {
        self.peers.validate()?;
        let credentials = [
            ("api.client_ca", self.client_ca.is_some()),
            ("api.token_file", self.token_file.is_some()),
            ("api.kubernetes", self.kubernetes),
        ];
        let given = credentials.into_iter().find(|(_, is_given)| *is_given);
        if !self.kubernetes && !self.audiences.is_empty() {
            return Err(
                "api.audiences is set without api.kubernetes: only tokens of a cluster have audiences".to_owned(),
            );
        }
        if self.audiences.iter().any(|audience| audience.trim().is_empty()) {
            return Err("api.audiences has an empty one: leave it out for the audience of the API server".to_owned());
        }
        let why = match (&self.certificate, &self.key, given) {
            (None, None, None) => return self.is_open_on_purpose(api_listen),
            _ if self.anonymous => {
                "api.anonymous is set, and so are fields by which the agent would ask who somebody is"
            }
            (Some(_), None, _) => "api.certificate is set without api.key, its private key",
            (None, Some(_), _) => "api.key is set without api.certificate",
            (None, None, Some((field, _))) => {
                return Err(format!(
                    "{field} is set without api.certificate and api.key: without TLS anybody on the way could read and change what \
                     is sent"
                ));
            }
            (Some(_), Some(_), None) => {
                "api.certificate is set without api.client_ca, api.token_file or api.kubernetes: everybody who can connect could ask"
            }
            _ if api_listen.is_none_or(|address| address == listen) => {
                "api.certificate is set, but api_listen is not, or is the same as listen: metrics there are served without TLS, so \
                 give the API another address"
            }
            _ => return Ok(()),
        };
        Err(why.to_owned())
    }

    /// Checks that the API, when it asks for no credentials, is where others can reach it only if that is said.
    fn is_open_on_purpose(&self, api_listen: Option<SocketAddr>) -> Result<(), String> {
        match api_listen {
            Some(address) if !address.ip().is_loopback() && !self.anonymous => Err(format!(
                "api_listen is {address}, where others may reach it: set api.certificate, api.key and one of api.client_ca, \
                 api.token_file and api.kubernetes, so that the agent asks who they are, or api.anonymous, if everybody may read what \
                 connects to what and which connections failed"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let listen: SocketAddr = "0.0.0.0:9797".parse().expect("an address");
        let other = Some("0.0.0.0:9798".parse().expect("an address"));
        let api = |fields: [bool; 4]| {
            let [certificate, key, client_ca, token_file] = fields.map(|is_set| is_set.then(|| "/file".into()));
            Api {
                certificate,
                key,
                client_ca,
                token_file,
                ..Api::default()
            }
        };
        let anonymous = |fields| Api {
            anonymous: true,
            ..api(fields)
        };
        assert_eq!(anonymous([false; 4]).validate(listen, other), Ok(()));
        let error = anonymous([true, true, false, true]).validate(listen, other);
        assert!(
            error
                .expect_err("one or the other")
                .starts_with("api.anonymous is set, and so are")
        );
        for (fields, api_listen, expected) in [
            (
                [false; 4],
                other,
                "api_listen is 0.0.0.0:9798, where others may reach it",
            ),
            (
                [false; 4],
                Some(listen),
                "api_listen is 0.0.0.0:9797, where others may reach it",
            ),
            (
                [true, false, false, true],
                other,
                "api.certificate is set without api.key",
            ),
            (
                [false, true, false, true],
                other,
                "api.key is set without api.certificate",
            ),
            ([false, false, false, true], other, "api.token_file is set without"),
            ([false, false, true, true], other, "api.client_ca is set without"),
            (
                [true, true, false, false],
                other,
                "api.certificate is set without api.client_ca",
            ),
            (
                [true, true, false, true],
                None,
                "api.certificate is set, but api_listen is not",
            ),
            (
                [true, true, false, true],
                Some(listen),
                "api.certificate is set, but api_listen is not",
            ),
        ] {
            let error = api(fields).validate(listen, api_listen).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
        }
        for (fields, api_listen) in [
            ([false; 4], None),
            ([false; 4], Some("127.0.0.1:9798".parse().expect("an address"))),
            ([true, true, false, true], other),
            ([true, true, true, false], other),
            ([true; 4], other),
        ] {
            assert_eq!(api(fields).validate(listen, api_listen), Ok(()));
        }
        let cluster = |fields, audiences: &[&str]| Api {
            kubernetes: true,
            audiences: audiences.iter().copied().map(str::to_owned).collect(),
            ..api(fields)
        };
        assert_eq!(
            cluster([true, true, false, false], &["narrows"]).validate(listen, other),
            Ok(())
        );
        let without_kubernetes = Api {
            kubernetes: false,
            ..cluster([true; 4], &["narrows"])
        };
        for (api, expected) in [
            (
                cluster([false; 4], &[]),
                "api.kubernetes is set without api.certificate",
            ),
            (
                cluster([true, true, false, false], &["narrows", " "]),
                "api.audiences has an empty one",
            ),
            (without_kubernetes, "api.audiences is set without api.kubernetes"),
        ] {
            let error = api.validate(listen, other).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
