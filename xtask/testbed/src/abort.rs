//! Ending a connection by a reset.

use std::net::TcpStream;

use nix::sys::socket::{setsockopt, sockopt};

/// Closes a connection with a reset instead of an orderly end.
pub(crate) fn abort(stream: TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // If this fails, the connection has ended already.
    let _gone = setsockopt(&stream, sockopt::Linger, &linger);
    drop(stream);
}
