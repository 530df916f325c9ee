//! The purpose of a task, which decides what it needs.

use crate::{guests::guest::Guest, system::architecture::Architecture};

/// The purpose of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Compile the agent for this machine.
    Build,
    /// Compile it for machines of an architecture.
    BuildFor(Architecture),
    /// Compile it, and run it on a miniature mesh.
    Demo,
    /// The same, and check the manifests, and boot other kernels.
    Tests,
    /// The same on a single guest.
    TestsOn(Guest),
}

impl Purpose {
    /// The architecture to compile for, if it is another one than this machine's.
    pub(crate) fn target(self) -> Option<Architecture> {
        match self {
            Self::BuildFor(architecture) => Some(architecture),
            _ => {
                let mut architectures = self.guests().into_iter().map(|guest| guest.image().architecture);
                architectures.find(|architecture| !architecture.is_here())
            }
        }
    }

    /// The machines to boot.
    pub(crate) fn guests(self) -> Vec<Guest> {
        match self {
            Self::Build | Self::BuildFor(_) | Self::Demo => Vec::new(),
            Self::Tests => Guest::ALWAYS.to_vec(),
            Self::TestsOn(guest) => vec![guest],
        }
    }

    /// Whether the compiled programs are run, with everything that this needs.
    pub(crate) fn is_run(self) -> bool {
        !matches!(self, Self::Build | Self::BuildFor(_))
    }
}
