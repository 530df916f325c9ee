//! The protocol with a virtual machine that runs tests on another kernel: the host's orders, and the guest's reports.
//!
//! `cargo xtask vm-test` writes [`Orders`] into the machine's file system, whose first process is `narrows-guest`. It
//! carries them out and writes [`Report`]s, each a line of JSON, to a separate serial line, so that the kernel's console
//! messages do not interfere.

mod check;
mod init;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use init::main;

/// The file with the guest's orders.
pub const ORDERS: &str = "/orders.json";

/// The second serial line; the first one is the console.
pub const LINE: &str = if cfg!(target_arch = "aarch64") {
    // QEMU's machine for this architecture has only one serial port.
    "/dev/hvc0"
} else {
    "/dev/ttyS1"
};

/// The orders to a guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Kernel modules, each after those it needs.
    pub modules: Vec<PathBuf>,
    /// The whole environment of the tests.
    pub environment: Vec<(String, String)>,
    /// How long a test may take, in all.
    pub limit: Duration,
    /// Properties of the machine to verify first.
    pub checks: Checks,
    /// The tests to run, one after the other.
    pub tests: Vec<Test>,
}

/// Required properties of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checks {
    /// The number of CPUs.
    pub processors: u32,
    /// The mode of the kernel's lockdown: `none`, `integrity` or `confidentiality`.
    pub lockdown: String,
}

/// One test function of a test program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// The path of the test program.
    pub program: PathBuf,
    /// The function, with the modules it is in.
    pub function: String,
    /// The name of the test in reports.
    pub name: String,
}

/// A line from the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// The guest is set up and begins to test.
    Ready {
        /// The release of the guest's kernel.
        release: String,
    },
    /// A test has ended, or was killed.
    Ended {
        /// The name of the test.
        name: String,
        /// Its exit code; `None` when it was killed by a signal, for example by the guest when its time was over.
        code: Option<i32>,
        /// The time it took.
        seconds: f64,
        /// The end of its output.
        output: String,
    },
    /// The guest cannot continue, with the reason.
    Broken(String),
    /// All tests were run.
    Done,
}
