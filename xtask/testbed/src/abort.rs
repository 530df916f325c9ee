//! The other way to end a connection.

use std::net::TcpStream;

use nix::sys::socket::{setsockopt, sockopt};

/// Closes a connection with a reset instead of an orderly end.
pub(crate) fn abort(stream: TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // On a socket that is already gone there is nothing left to reset.
    let _gone = setsockopt(&stream, sockopt::Linger, &linger);
    drop(stream);
}
