//! A ztunnel's deliveries: from its client's address, inside the network namespace of the workload that it delivers to.

use narrows_testbed::netns::Netns;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, setsockopt, sockopt};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    os::fd::AsRawFd as _,
};

/// Answers to connections that bear this mark stay in the namespace, whoever's address they are for: as Istio's rules inside a pod
/// do it for a ztunnel that speaks from its clients' addresses.
pub fn lead_back(netns: &Netns) {
    let rules = "iptables -w -t mangle -A OUTPUT -p tcp -m mark --mark 0x539 -j CONNMARK --set-mark 0x111\n\
                 iptables -w -t mangle -A OUTPUT -p tcp -m connmark --mark 0x111 -m mark ! --mark 0x539 -j MARK --set-mark 0x111\n\
                 ip rule add fwmark 0x111 lookup 100\n\
                 ip route add local 0.0.0.0/0 dev lo table 100\n";
    netns.exec(rules).expect("rules");
    netns.sysctl("net/ipv4/conf/all/rp_filter", "0").expect("set");
    netns.sysctl("net/ipv4/conf/lo/rp_filter", "0").expect("set");
}

/// A connection from somebody else's address.
///
/// # Errors
/// The system call's error.
pub fn connect_as(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let SocketAddr::V4(to) = to else {
        panic!("this test is of IPv4")
    };
    let fd = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    setsockopt(&fd, sockopt::IpTransparent, &true).expect("set");
    setsockopt(&fd, sockopt::Mark, &0x539).expect("set");
    let from = SockaddrIn::from(SocketAddrV4::new(from, 0));
    socket::bind(fd.as_raw_fd(), &from).expect("bound");
    socket::connect(fd.as_raw_fd(), &SockaddrIn::from(to))?;
    Ok(fd.into())
}
