//! Which addresses are listened on, and what is served there.

use crate::export::Api;
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// A socket that listens, and what of the API is served on it.
pub struct Listening {
    pub socket: TcpListener,
    pub api: Api,
}

/// Listens for metrics on `listen`, and for the API on `api_listen`; by default the API is served over loopback only, at the same
/// port. Where it asks for credentials on `api_listen`, it is served over loopback as well.
///
/// # Errors
/// An address cannot be listened on.
pub fn listen(listen: SocketAddr, api_listen: Option<SocketAddr>, has_gate: bool) -> anyhow::Result<Vec<Listening>> {
    let first = bind(listen, "--listen")?;
    // Port 0 stands for any free one.
    let listen = SocketAddr::new(listen.ip(), first.local_addr()?.port());
    let guarded = api_listen.filter(|_| has_gate);
    let (api, other) = plan(listen, api_listen.filter(|_| !has_gate));
    let mut all = vec![Listening { socket: first, api }];
    if let Some(address) = other {
        all.push(Listening {
            socket: bind(address, "--api-listen")?,
            api: Api::Open,
        });
    }
    if let Some(address) = guarded {
        all.push(Listening {
            socket: bind(address, "--api-listen")?,
            api: Api::Authenticated,
        });
    }
    Ok(all)
}

/// What is served of the API where metrics are, and the address that it has of its own.
fn plan(listen: SocketAddr, api_listen: Option<SocketAddr>) -> (Api, Option<SocketAddr>) {
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    // All addresses include the loopback ones: a second socket for these could not listen at the same port.
    let includes = |address: SocketAddr| listen.ip().is_unspecified() && address.port() == listen.port();
    match api_listen {
        Some(address) if address == listen => (Api::Open, None),
        Some(address) if is_loopback(address) && includes(address) => (Api::Loopback, None),
        Some(address) => (Api::At(address), Some(address)),
        None if is_loopback(listen) => (Api::Open, None),
        None if listen.ip().is_unspecified() => (Api::Loopback, None),
        None => {
            // Where `narrows failures` asks by default. Every network namespace has it, also where pods have only IPv6.
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port()));
            (Api::At(address), Some(address))
        }
    }
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    bound.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => format!(": is another agent running? ({flag} chooses another address)"),
            ErrorKind::AddrNotAvailable => format!(": this machine has no such address ({flag} chooses another one)"),
            _ => String::new(),
        };
        anyhow::anyhow!("cannot listen on {address}{hint}: {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_stays_on_loopback_unless_it_has_an_address_of_its_own() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let at = |text: &str| (Api::At(address(text)), Some(address(text)));
        for (listen, api_listen, expected) in [
            ("127.0.0.1:9797", None, (Api::Open, None)),
            ("[::1]:9797", None, (Api::Open, None)),
            ("0.0.0.0:9797", None, (Api::Loopback, None)),
            ("[::]:9797", None, (Api::Loopback, None)),
            ("10.0.0.5:9797", None, at("127.0.0.1:9797")),
            ("[fd00::5]:9797", None, at("127.0.0.1:9797")),
            ("0.0.0.0:9797", Some("0.0.0.0:9797"), (Api::Open, None)),
            ("0.0.0.0:9797", Some("127.0.0.1:9797"), (Api::Loopback, None)),
            ("[::]:9797", Some("[::1]:9797"), (Api::Loopback, None)),
            ("0.0.0.0:9797", Some("127.0.0.1:9798"), at("127.0.0.1:9798")),
            ("0.0.0.0:9797", Some("10.0.0.5:9798"), at("10.0.0.5:9798")),
            ("127.0.0.1:9797", Some("10.0.0.5:9798"), at("10.0.0.5:9798")),
        ] {
            let found = plan(address(listen), api_listen.map(address));
            assert_eq!(found, expected, "{listen} {api_listen:?}");
        }
    }
}
