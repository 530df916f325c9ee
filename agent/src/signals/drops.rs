//! Packets of points that the kernel drops, by the kernel's drop reasons.

use crate::{
    metrics::{
        Detail, Encoder, Labels, families,
        labels::{POINT, label},
        with,
    },
    program::{Hook, Need, Program},
};
use agent_common::{Drop, Field};
use std::{collections::BTreeMap, fmt};

/// Runs when a packet of a socket is dropped.
pub const DROPPED: Program = Program {
    name: "packet_dropped",
    hook: Hook::Points("kfree_skb"),
    signal: "dropped packets of points (Linux 5.17)",
    needs: &[
        Need::Argument("kfree_skb", 3),
        Need::Field(Field::skb_sk),
        Need::Field(Field::skb_iif),
    ],
};

/// Runs when a received packet is rejected by the socket that was found for it.
pub const REJECTED: Program = Program {
    name: "packet_rejected",
    hook: Hook::Points("kfree_skb"),
    signal: "received packets that a point's socket did not take, as when its buffer is full (Linux 6.11)",
    needs: &[Need::Argument("kfree_skb", 4), Need::Program(&DROPPED)],
};

/// The programs of this signal.
pub const PROGRAMS: [&Program; 2] = [&DROPPED, &REJECTED];

/// The map of dropped packets, by [`Drop`].
pub const TALLY: &str = "DROPS";

/// The kernel's enumeration of drop reasons.
pub const REASONS: &str = "skb_drop_reason";

families! {
    PACKETS: counter(
        "narrows_dropped_packets_total",
        "Packets that the kernel dropped on their way to or from sockets of the point, TCP and others"
    )
        .by(&[POINT, &[
            label("reason", "The kernel's drop reason (enum skb_drop_reason), such as netfilter_drop or socket_rcvbuff"),
            label("direction", "received or sent, by the point")
        ]])
        .caveat("Without packet_rejected (Linux 6.11), most received packets are missing: those dropped before a socket is found are \
                 not attributed")
        .needs(&[Need::Program(&DROPPED)])
        .at(Detail::Points);
}

/// Dropped packets of a point, by reason and direction.
#[derive(Clone, Debug, Default)]
pub struct Drops(BTreeMap<(String, &'static str), u64>);

impl Drops {
    /// The number of packets by reason and direction.
    pub fn all(&self) -> impl Iterator<Item = (&str, &'static str, u64)> {
        let all = self.0.iter();
        all.map(|((reason, direction), n)| (reason.as_str(), *direction, *n))
    }

    /// Adds packets. `name` maps a reason to the kernel's name for it.
    pub fn add<'n>(&mut self, what: u64, new: u64, name: impl Fn(u32) -> Option<&'n str>) {
        let (reason, direction) = Drop::unpack(what);
        let direction = match direction {
            Drop::RECEIVED => "received",
            _ => "sent",
        };
        *self.0.entry((label_of(name(reason)), direction)).or_default() += new;
    }
}

/// The value of the `reason` label. Kernel subsystems may have reasons of their own, which are not in the enumeration.
fn label_of(name: Option<&str>) -> String {
    let name = name.map(|name| name.strip_prefix("SKB_DROP_REASON_").unwrap_or(name));
    name.unwrap_or("other").to_ascii_lowercase()
}

/// Writes the family, with a series for each reason that has occurred.
///
/// # Errors
/// The error of the encoder.
pub fn encode<'a>(points: impl Iterator<Item = (&'a Labels<'a>, &'a Drops)>, encoder: &mut Encoder<'_>) -> fmt::Result {
    let packets = points.flat_map(|(labels, drops)| {
        drops.0.iter().map(|((reason, direction), n)| {
            let more = [("reason", reason.as_str()), ("direction", direction)];
            (with(labels.clone(), more), *n)
        })
    });
    encoder.write(&PACKETS, packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_called_as_the_kernel_calls_them() {
        let names = |reason| (reason == 7).then_some("SKB_DROP_REASON_NETFILTER_DROP");
        let mut drops = Drops::default();
        drops.add(Drop::pack(7, Drop::SENT), 2, names);
        drops.add(Drop::pack(7, Drop::SENT), 1, names);
        drops.add(Drop::pack(1 << 16 | 4, Drop::RECEIVED), 5, names);
        let found: Vec<_> = drops.0.into_iter().collect();
        let expected = [(("netfilter_drop", "sent"), 3), (("other", "received"), 5)];
        assert_eq!(
            found,
            expected.map(|((reason, direction), n)| ((reason.to_owned(), direction), n))
        );
    }
}
