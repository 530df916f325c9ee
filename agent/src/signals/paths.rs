//! Whose traffic the connections carry that points open.

use crate::program::{CgroupHook, Hook, Need, Program};

/// Runs when a point accepts an IPv4 connection.
pub const PEER_NAMED_4: Program = Program {
    name: "peer_named4",
    hook: Hook::Cgroups(CgroupHook::PeerName4),
    signal: "callers of upstream connections that a TCP proxy opens before it reads (else known once they carry data)",
    needs: &[Need::NetworkAdministration],
};

/// Runs when a point accepts an IPv6 connection.
pub const PEER_NAMED_6: Program = Program {
    name: "peer_named6",
    hook: Hook::Cgroups(CgroupHook::PeerName6),
    signal: "the same for IPv6",
    needs: &[Need::NetworkAdministration],
};

/// The programs of this signal.
pub const PROGRAMS: [&Program; 2] = [&PEER_NAMED_4, &PEER_NAMED_6];
