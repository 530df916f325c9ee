//! `narrows failures` and `narrows report` as clients: what they send, whom they trust, and one sentence that says what to do when
//! there is no answer. Needs no root.

mod all_nodes;
mod https;
mod policy;
mod rehearse;
mod report;
mod server;
mod token;
mod top;

use narrows_testbed::command;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    process::{Command, Output},
};

/// The program, without what the environment of this test may say.
fn narrows(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrows"));
    command.args(arguments);
    let variables = [
        "NARROWS_AGENT",
        "NARROWS_BEARER_TOKEN_FILE",
        "NARROWS_CA_FILE",
        "NARROWS_PROMETHEUS_TOKEN",
        "NO_COLOR",
    ];
    for variable in variables {
        command.env_remove(variable);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    command::output(&mut narrows(arguments)).expect("it starts")
}

/// What it says on stderr, given that it ends with this code and shows nothing.
#[track_caller]
fn refusal(command: &mut Command, code: i32) -> String {
    let output = command::output(command).expect("it starts");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "nothing that looks like an answer");
    said
}

/// The one sentence about what went wrong.
#[track_caller]
fn failure(arguments: &[&str]) -> String {
    let said = refusal(&mut narrows(arguments), 1);
    assert!(said.starts_with("narrows: ") && said.lines().count() == 1, "{said}");
    said
}

/// A URL where nobody listens, and nobody else will while the socket is there: it has the port, and does not listen.
fn nobody() -> (OwnedFd, String) {
    let taken = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    socket::bind(taken.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a port");
    let address: SockaddrIn = socket::getsockname(taken.as_raw_fd()).expect("an address");
    (taken, format!("http://{address}"))
}
