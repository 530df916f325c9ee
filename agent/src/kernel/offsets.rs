//! Where this kernel keeps the fields that the programs read.

use super::{
    btf::{Btf, NoPlace},
    restrictions::PROBED_FIELDS,
};
use agent_common::{ABSENT, Offsets};
use serde::Serialize;

/// One field, found or not.
#[derive(Clone, Debug, Serialize)]
pub struct Field {
    /// `structure.path`, as in the kernel's sources.
    pub field: String,
    /// Bytes from the start of the structure; `None` when that is not known.
    pub offset: Option<u32>,
    /// Whether counting depends on it.
    pub required: bool,
    /// What is off because it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<&'static str>,
    /// Why it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Looks all of them up, but for the optional ones that are switched off, as `structure.path`, and those that cannot be read where
/// the kernel is `locked`.
pub fn find(btf: &Btf, off: &[String], locked: bool) -> (Offsets, Vec<Field>) {
    let mut offsets = Offsets::NONE;
    let mut fields = Vec::with_capacity(Offsets::FIELDS.len());
    for &(name, structure, path, required) in Offsets::FIELDS {
        let field = format!("{structure}.{path}");
        let found = btf.offset(structure, path);
        let hidden = match &found {
            Err(error) => Some(error.to_string()),
            _ if !required && off.contains(&field) => {
                Some("it is switched off in the configuration: kernel.off".to_owned())
            }
            _ if locked && PROBED_FIELDS.contains(&field.as_str()) => {
                Some("lockdown=confidentiality forbids programs to read it".to_owned())
            }
            _ => None,
        };
        let offset = found.ok().filter(|_| hidden.is_none());
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

/// What stands in the way of counting: required fields of which it is not known where they are.
pub fn obstacle(fields: &[Field]) -> Option<String> {
    let unknown = |field: &&Field| field.required && field.offset.is_none();
    let (absent, others): (Vec<_>, Vec<_>) = (fields.iter().filter(unknown))
        .partition(|field| field.reason.as_deref() == Some(NoPlace::Absent.to_string().as_str()));
    let mut obstacles: Vec<_> = others.iter().filter_map(|field| field.reason.clone()).collect();
    if !absent.is_empty() {
        let absent: Vec<_> = absent.iter().map(|field| field.field.as_str()).collect();
        obstacles.insert(0, format!("this kernel has no {}", absent.join(", ")));
    }
    (!obstacles.is_empty()).then(|| format!("{}: Narrows does not know where to look on it", obstacles.join("; ")))
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
        "tcp_sock.is_mptcp" => {
            "nothing where the kernel has no Multipath TCP (else its connections end as never accepted)"
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_required_field_that_is_not_known_is_named() {
        let field = |field: &str, required, why: Option<NoPlace>| Field {
            field: field.to_owned(),
            offset: why.is_none().then_some(8),
            required,
            off: None,
            reason: why.map(|why| why.to_string()),
        };
        let ambiguous = || NoPlace::Ambiguous {
            structure: "sock".to_owned(),
            path: "sk_err".to_owned(),
            number: 2,
        };
        let known = [
            field("net.ns.inum", true, None),
            field("sock.sk_drops", false, Some(NoPlace::Absent)),
            field("sock.sk_err", false, Some(ambiguous())),
        ];
        assert_eq!(obstacle(&known), None);
        let unknown = [
            field("sock.sk_err", true, Some(ambiguous())),
            field("cgroup.kn", true, Some(NoPlace::Absent)),
            field("kernfs_node.id", true, Some(NoPlace::Absent)),
        ];
        assert_eq!(
            obstacle(&unknown).expect("they are required"),
            "this kernel has no cgroup.kn, kernfs_node.id; this kernel has 2 structures called sock, which do not agree on \
             sk_err: Narrows does not know where to look on it"
        );
    }
}
