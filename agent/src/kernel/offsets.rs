//! Where this kernel keeps the fields that the programs read.

use super::btf::Btf;
use agent_common::{ABSENT, Offsets};
use serde::Serialize;

/// One field, found or not.
#[derive(Clone, Debug, Serialize)]
pub struct Field {
    /// `structure.path`, as in the kernel's sources.
    pub field: String,
    /// Bytes from the start of the structure; `None` when this kernel does not have it.
    pub offset: Option<u32>,
    /// Whether counting depends on it.
    pub required: bool,
}

/// Looks all of them up.
pub fn find(btf: &Btf) -> (Offsets, Vec<Field>) {
    let mut offsets = Offsets::NONE;
    let mut fields = Vec::with_capacity(Offsets::FIELDS.len());
    for &(name, structure, path, required) in Offsets::FIELDS {
        let offset = btf.offset(structure, path);
        offsets.set(name, offset.unwrap_or(ABSENT));
        fields.push(Field {
            field: format!("{structure}.{path}"),
            offset,
            required,
        });
    }
    (offsets, fields)
}

/// Names of required fields that are missing.
pub fn missing(fields: &[Field]) -> Vec<&str> {
    fields
        .iter()
        .filter(|f| f.required && f.offset.is_none())
        .map(|f| f.field.as_str())
        .collect()
}

/// The signal that is off without an optional field.
pub fn signal_without(field: &str) -> &'static str {
    match field {
        "sock.__sk_common.skc_v6_daddr" | "sock.__sk_common.skc_v6_rcv_saddr" => "IPv6 peers",
        "sock.sk_ack_backlog" => "accept queue length",
        "sock.sk_drops" => "accept queue drops",
        "socket.sk" => "connections open before the start",
        "tcp_sock.total_retrans" => "retransmits",
        "tcp_sock.srtt_us" => "round trip, connect duration",
        "tcp_sock.retrans_stamp" => "connect duration of handshakes with retransmits",
        _ => "all",
    }
}
