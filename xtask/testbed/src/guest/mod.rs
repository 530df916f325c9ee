//! A virtual machine that runs tests on another kernel: what its host orders, and what it reports.
//!
//! `cargo xtask vm-test` writes [`Orders`] into the machine's file system, whose first process is `narrows-guest`. That
//! carries them out and writes [`Report`]s, each a line of JSON, to a serial line of its own: what the kernel says to its
//! console cannot get between them.

mod check;
mod init;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use init::main;

/// Where the guest finds its orders.
pub const ORDERS: &str = "/orders.json";

/// The second serial line; the first one is the console.
pub const LINE: &str = if cfg!(target_arch = "aarch64") {
    // QEMU's machine has a single one of its own.
    "/dev/hvc0"
} else {
    "/dev/ttyS1"
};

/// What a guest is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Kernel modules, each after those it needs.
    pub modules: Vec<PathBuf>,
    /// The whole environment of the tests.
    pub environment: Vec<(String, String)>,
    /// How long a test may take, in all.
    pub limit: Duration,
    /// What to be sure of before.
    pub checks: Checks,
    /// What to run, one after the other.
    pub tests: Vec<Test>,
}

/// What has to be true of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checks {
    /// How many processors it has.
    pub processors: u32,
    /// The mode of the kernel's lockdown: `none`, `integrity` or `confidentiality`.
    pub lockdown: String,
}

/// One test function of a test program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// The program.
    pub program: PathBuf,
    /// The function, with the modules it is in.
    pub function: String,
    /// What it is called in reports.
    pub name: String,
}

/// A line from the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// The guest is set up and begins to test.
    Ready {
        /// The kernel's release.
        release: String,
    },
    /// A test has ended, or was ended.
    Ended {
        /// Its name.
        name: String,
        /// Its exit code; none when a signal ended it, its own or the guest's for lack of time.
        code: Option<i32>,
        /// The time it took.
        seconds: f64,
        /// The end of what it said.
        output: String,
    },
    /// The guest cannot go on, and why.
    Broken(String),
    /// All tests were run.
    Done,
}
