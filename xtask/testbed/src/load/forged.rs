//! SYNs from forged source addresses, as an attacker can send them.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket};

const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
const SYN: u8 = 2;

/// Sends a SYN to `target` from each of `sources`, from the calling thread's namespace. The answers are sent to the holders of
/// these addresses.
pub fn forged_syns(target: SocketAddrV4, sources: impl Iterator<Item = SocketAddrV4>) -> io::Result<()> {
    // With this protocol, the data include the IP header (raw(7)).
    let raw = socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )?;
    let to = SockaddrIn::from(SocketAddrV4::new(*target.ip(), 0));
    for source in sources {
        sendto(raw.as_raw_fd(), &syn(source, target), &to, MsgFlags::empty())?;
    }
    Ok(())
}

/// The packet. The kernel fills in the checksum of the IP header.
fn syn(source: SocketAddrV4, target: SocketAddrV4) -> [u8; IP_HEADER + TCP_HEADER] {
    let mut packet = [0; IP_HEADER + TCP_HEADER];
    let (ip, tcp) = packet.split_at_mut(IP_HEADER);
    // Version 4, five words.
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&((IP_HEADER + TCP_HEADER) as u16).to_be_bytes());
    ip[8] = 64;
    ip[9] = libc::IPPROTO_TCP as u8;
    ip[12..16].copy_from_slice(&source.ip().octets());
    ip[16..20].copy_from_slice(&target.ip().octets());
    tcp[0..2].copy_from_slice(&source.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&target.port().to_be_bytes());
    // Any sequence number; five words.
    tcp[4..8].copy_from_slice(&source.ip().octets());
    tcp[12] = 5 << 4;
    tcp[13] = SYN;
    tcp[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    let checksum = checksum(*source.ip(), *target.ip(), tcp);
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// The checksum of a segment, whose own field is 0 (RFC 9293, 3.1).
fn checksum(source: Ipv4Addr, target: Ipv4Addr, segment: &[u8]) -> u16 {
    let words = |bytes: &[u8]| {
        let pairs = bytes.chunks_exact(2);
        pairs
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum::<u32>()
    };
    let mut sum = words(&source.octets()) + words(&target.octets()) + words(segment);
    sum += libc::IPPROTO_TCP as u32 + segment.len() as u32;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_with_its_checksum_adds_up_to_nothing() {
        let (source, target) = (Ipv4Addr::new(10, 91, 3, 200), Ipv4Addr::new(10, 90, 0, 2));
        let packet = syn(SocketAddrV4::new(source, 40_001), SocketAddrV4::new(target, 15_008));
        assert_eq!(checksum(source, target, &packet[IP_HEADER..]), 0);
    }
}
