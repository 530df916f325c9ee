//! Addresses: the peer's address in a flow, and whether an address is global.

use agent_common::FlowKey;
use std::net::{IpAddr, Ipv6Addr};

/// The peer's address; `None` when the flow has none.
pub fn peer_address(key: &FlowKey) -> Option<IpAddr> {
    address_of(key.peer)
}

/// The address that the kernel programs recorded; an IPv4-mapped address becomes IPv4. `None` when it is unspecified.
pub fn address_of(words: [u32; 4]) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        // The words are in network byte order in memory.
        to.copy_from_slice(&word.to_ne_bytes());
    }
    let address = Ipv6Addr::from(bytes);
    (!address.is_unspecified()).then(|| address.to_canonical())
}

/// Whether an address is globally routable, judging by its form alone.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // 100.64.0.0/10 (RFC 6598) is used for pods and services too.
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (a == 100 && b & 0xc0 == 64))
        }
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000,
    }
}
