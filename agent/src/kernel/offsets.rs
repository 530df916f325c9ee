//! Where this kernel keeps the fields that the programs read.

use super::{btf::Btf, restrictions::PROBED_FIELDS};
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
    /// What is off because it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<&'static str>,
    /// Why it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// Looks all of them up, but for the optional ones that are switched off, as `structure.path`, and those that cannot be read where
/// the kernel is `locked`.
pub fn find(btf: &Btf, off: &[String], locked: bool) -> (Offsets, Vec<Field>) {
    let mut offsets = Offsets::NONE;
    let mut fields = Vec::with_capacity(Offsets::FIELDS.len());
    for &(name, structure, path, required) in Offsets::FIELDS {
        let field = format!("{structure}.{path}");
        let offset = btf.offset(structure, path);
        let hidden = match offset {
            None => Some("this kernel does not have it"),
            _ if !required && off.contains(&field) => Some("it is switched off in the configuration: kernel.off"),
            _ if locked && PROBED_FIELDS.contains(&field.as_str()) => {
                Some("lockdown=confidentiality forbids programs to read it")
            }
            _ => None,
        };
        let offset = offset.filter(|_| hidden.is_none());
        offsets.set(name, offset.unwrap_or(ABSENT));
        fields.push(Field {
            reason: hidden,
            off: offset.is_none().then(|| signal_without(&field)),
            field,
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
fn signal_without(field: &str) -> &'static str {
    match field {
        "sock.__sk_common.skc_v6_daddr" | "sock.__sk_common.skc_v6_rcv_saddr" => "IPv6 peers",
        "sock.sk_ack_backlog" => "accept queue length",
        "sock.sk_drops" => "accept queue drops",
        "socket.sk" => "connections open before the start",
        "sock.sk_bpf_storage" => "nothing: it saves the time of looking for records that are not there",
        "sock.sk_txhash" => "telling interrupted programs' notes apart: counts drift under interrupts",
        "tcp_sock.total_retrans" => "retransmits",
        "tcp_sock.srtt_us" => "round trip, connect duration",
        "tcp_sock.retrans_stamp" => "connect duration of handshakes with retransmits",
        "sock.sk_socket" => "connections that were never accepted (else reset)",
        "tcp_sock.rcv_nxt" | "tcp_sock.copied_seq" => "unread bytes, stalled connections that are not read; read delay",
        "tcp_sock.write_seq" | "tcp_sock.snd_una" => "unacknowledged bytes, stalled connections",
        "tcp_sock.snd_wnd" => "connections stalled by a closed window (else counted as unacknowledged)",
        "tcp_sock.inet_conn.icsk_accept_queue.rskq_accept_head" | "request_sock.sk" | "tcp_request_sock.snt_synack" => {
            "how long the first connection in an accept queue has waited"
        }
        "request_sock.rsk_timer.expires" => "telling accept queue drops from SYNs that came twice (counted as drops)",
        "net.ipv4.ip_local_ports.range" => "ephemeral ports in use against their range",
        "cfs_rq.throttle_count" | "task_struct.se.cfs_rq" => {
            "telling a point's own quota from other processes that interrupt it"
        }
        "signal_struct.oom_mm" => "OOM kills (else counted as killed)",
        "pt_regs.orig_ax" | "pt_regs.syscallno" => "failed accepts",
        field
            if field.starts_with("task_struct.")
                || field.starts_with("signal_struct.")
                || field.starts_with("css_set.") =>
        {
            "run-queue delay, starts and exits of points: see the programs"
        }
        _ => "all",
    }
}
