//! Which agents there are: the addresses of the configured names.

use super::client::{PATIENCE, Peer};
use crate::{fleet::Missing, url::Url};
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::lookup_host, time::timeout};

/// The number of peers that are asked. A larger fleet has a Prometheus.
pub const MOST: usize = 2_000;

/// The peers at these URLs, each address once, and what could not be found.
pub async fn find(urls: &[Arc<Url>]) -> (Vec<Peer>, Vec<Missing>) {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for (url, found) in urls
        .iter()
        .zip(futures_util::future::join_all(urls.iter().map(resolve)).await)
    {
        match found {
            Ok(addresses) => peers.extend(addresses.into_iter().map(|address| Peer {
                url: url.clone(),
                address,
            })),
            Err(message) => missing.push(missing_at(url, "unresolved", message)),
        }
    }
    peers.sort_by_key(|peer| peer.address);
    peers.dedup_by_key(|peer| peer.address);
    if peers.len() > MOST {
        let more = peers.split_off(MOST);
        let message = format!(
            "{} more addresses are not asked: {MOST} are the most that are",
            more.len()
        );
        missing.push(missing_at(&more[0].url, "not_asked", message));
    }
    (peers, missing)
}

fn missing_at(url: &Url, error: &str, message: String) -> Missing {
    Missing {
        address: url.authority().to_owned(),
        node: None,
        error: error.to_owned(),
        message,
    }
}

async fn resolve(url: &Arc<Url>) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(PATIENCE, lookup_host((url.host.as_str(), url.port()))).await;
    let why = match found {
        Ok(Ok(addresses)) => return Ok(addresses.collect()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    Err(format!("cannot resolve {}, given as a peer: {why}", url.host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(all: &[&str]) -> Vec<Arc<Url>> {
        all.iter().map(|url| Arc::new(url.parse().expect("a URL"))).collect()
    }

    #[tokio::test]
    async fn each_address_is_asked_once_and_what_has_none_is_named() {
        let (peers, missing) = find(&urls(&[
            "127.0.0.1:2",
            "http://127.0.0.1:2/",
            "127.0.0.1:1",
            "no-such-host.invalid:1",
        ]))
        .await;
        let found: Vec<_> = peers.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.1:1", "127.0.0.1:2"]);
        let [missing] = &missing[..] else { panic!("{missing:?}") };
        assert_eq!(
            (&*missing.address, &*missing.error),
            ("no-such-host.invalid:1", "unresolved")
        );
        assert!(
            missing
                .message
                .starts_with("cannot resolve no-such-host.invalid, given as a peer: ")
        );
    }

    #[tokio::test]
    async fn a_fleet_that_is_too_large_is_asked_in_part_and_that_is_said() {
        let all: Vec<_> = (0..MOST + 3)
            .map(|n| format!("127.1.{}.{}:1", n / 250, n % 250 + 1))
            .collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let (peers, missing) = find(&urls(&all)).await;
        assert_eq!(peers.len(), MOST);
        assert!(
            missing[0].message.starts_with("3 more addresses are not asked"),
            "{missing:?}"
        );
    }
}
