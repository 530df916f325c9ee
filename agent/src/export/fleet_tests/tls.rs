//! Peers that ask for credentials.

use super::{good, node, servers::Agent};
use crate::{
    api::PointList,
    config::{Files, Peers},
    export::api::Fleet,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// Certificates for agents at 127.0.0.1, and a token.
struct Secrets(TempDir);

impl Secrets {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &ca).expect("a certificate");
        let secrets = Self(TempDir::new().expect("a directory"));
        for (name, text) in [
            ("ca.crt", ca.pem()),
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
            ("token", "a-token-that-nobody-guesses\n".to_owned()),
            ("other", "another-token-of-somebody".to_owned()),
        ] {
            fs::write(secrets.path(name), text).expect("written");
        }
        secrets
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self, takes_certificates: bool) -> Files {
        Files {
            certificate: self.path("tls.crt"),
            key: self.path("tls.key"),
            client_ca: takes_certificates.then(|| self.path("ca.crt")),
            token_file: (!takes_certificates).then(|| self.path("token")),
        }
    }
}

#[tokio::test]
async fn peers_are_shown_the_credentials_that_they_ask_for() {
    let secrets = Secrets::new();
    let file = |name: &str| Some(secrets.path(name));
    for takes_certificates in [false, true] {
        let peer = Agent::guarded(Fleet::alone("b"), [node("b", true)], &secrets.files(takes_certificates)).await;
        let missing = async |peers: Peers, own_token: Option<PathBuf>| {
            let peers = Peers {
                addresses: vec![format!("https://{}", peer.running.address)],
                ..peers
            };
            let fleet = Fleet::new("a", &peers, own_token.as_deref()).expect("files that can be used");
            let asked = Agent::of(fleet, [node("a", false)]).await;
            let list: PointList = good(&asked, "/api/v1/points?nodes=all").await;
            let mut missing = list.nodes.expect("nodes").missing;
            missing.pop().map(|missing| (missing.error, missing.message))
        };
        let ca = || Peers {
            ca: file("ca.crt"),
            ..Peers::default()
        };
        let with_token = |name: &str| Peers {
            token_file: file(name),
            ..ca()
        };
        let with_certificate = || Peers {
            certificate: file("tls.crt"),
            key: file("tls.key"),
            ..ca()
        };
        let refused = |found: Option<(String, String)>| {
            let (error, message) = found.expect("it is not answered");
            assert_eq!(error, "refused", "{message}");
            assert!(
                message.contains("api.peers.token_file and api.peers.certificate"),
                "{message}"
            );
        };
        match takes_certificates {
            false => {
                assert_eq!(missing(with_token("token"), None).await, None);
                assert_eq!(
                    missing(ca(), file("token")).await,
                    None,
                    "its own token, unless another is given"
                );
                refused(missing(with_token("other"), file("token")).await);
            }
            true => assert_eq!(missing(with_certificate(), None).await, None),
        }
        refused(missing(ca(), None).await);
        // The CA of somebody else.
        let others = Secrets::new();
        let stranger = Peers {
            ca: Some(others.path("ca.crt")),
            token_file: file("token"),
            ..Peers::default()
        };
        let (error, message) = missing(stranger, None).await.expect("it is not trusted");
        assert_eq!(error, "unreachable");
        assert!(
            message.starts_with("TLS with 127.0.0.1: ")
                && message.ends_with("see api.peers.ca and the certificate there"),
            "{message}"
        );
    }
}

#[test]
fn files_that_cannot_be_used_are_named_with_their_field() {
    let secrets = Secrets::new();
    fs::write(secrets.path("empty"), "").expect("written");
    let file = |name: &str| Some(secrets.path(name));
    let https = || Peers {
        addresses: vec!["https://a:1".to_owned()],
        ca: file("ca.crt"),
        ..Peers::default()
    };
    for (peers, parts) in [
        (
            Peers {
                ca: file("gone"),
                ..https()
            },
            ["cannot use what api.peers has for https", "gone"],
        ),
        (
            Peers {
                ca: file("empty"),
                ..https()
            },
            ["cannot use the CAs", "there is none in it: expected PEM"],
        ),
        (
            Peers {
                token_file: file("empty"),
                ..https()
            },
            ["cannot use the token for api.peers", "is empty"],
        ),
        (
            Peers {
                certificate: file("tls.crt"),
                key: file("ca.crt"),
                ..https()
            },
            ["cannot use the private key", "expected PEM"],
        ),
    ] {
        let error = Fleet::new("a", &peers, None).err().expect(parts[0]);
        let text = format!("{error:#}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}
