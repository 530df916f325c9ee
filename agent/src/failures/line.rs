//! A failure as a line of a table.

use super::failure::{End, Failure, Side};
use std::{borrow::Cow, fmt::Write as _, net::SocketAddr};

/// The names of the columns of [`line()`].
pub const HEADER: &str = "TIME                      REASON          PHASE        SEEN BY  POINT                     \
                          FROM                                      TO                                        DETAILS";

/// The line of a failure, without a newline. FROM is the caller, whichever end observed the failure.
pub fn line(failure: &Failure) -> String {
    let (from, to) = caller_and_called(failure);
    let text = format!(
        "{:24}  {:14}  {:11}  {:7}  {:24}  {from:40}  {to:40}  {}",
        failure.time,
        failure.reason,
        failure.phase,
        failure.vantage.map_or("-", |vantage| vantage.label()),
        failure.point.as_ref().map_or("-", |point| &point.name),
        details(failure),
    );
    printable(text.trim_end()).into_owned()
}

/// Who called and who was called, with their addresses, whichever end observed the failure. Names come from other users: see
/// [`printable`].
pub fn caller_and_called(failure: &Failure) -> (String, String) {
    let own = named_end(&failure.owner, failure.local_address);
    let peer = named_end(&failure.peer, failure.peer_address);
    match failure.side {
        Side::Upstream => (own, peer),
        Side::Downstream => (peer, own),
    }
}

/// An end: its name and address.
fn named_end(end: &End, address: Option<SocketAddr>) -> String {
    let name: Cow<'_, str> = match end {
        End::Workload(workload) => Cow::Borrowed(&workload.name),
        End::Point {
            point,
            acts_for: Some(workload),
        } => Cow::Owned(format!("{} via {}", workload.name, point.name)),
        End::Point { point, .. } => Cow::Borrowed(&point.name),
        End::Node => Cow::Borrowed("node"),
        End::External { name: Some(name) } => Cow::Owned(format!("external/{name}")),
        End::External { name: None } => Cow::Borrowed("external"),
        End::Unknown => Cow::Borrowed("unknown"),
    };
    match address {
        Some(address) => format!("{name} {address}"),
        None => name.into_owned(),
    }
}

/// Whose traffic it carried, duration and bytes of the connection, where known and not 0.
fn details(failure: &Failure) -> String {
    let mut text = String::new();
    let mut say = |what: std::fmt::Arguments<'_>| {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _infallible = write!(text, "{separator}{what}");
    };
    if let Some(caller) = &failure.caller {
        let about = match failure.caller_certainty.as_deref() {
            Some("certain") => "",
            _ => " (estimated)",
        };
        say(format_args!("for {}{about}", named_end(caller, None)));
    }
    if let Some(seconds) = failure.duration_seconds {
        say(format_args!("after {seconds:.3} s"));
    }
    if failure.sent_bytes > 0 || failure.received_bytes > 0 {
        say(format_args!(
            "sent {} B, received {} B",
            failure.sent_bytes, failure.received_bytes
        ));
    }
    if failure.retransmits > 0 {
        say(format_args!("retransmits {}", failure.retransmits));
    }
    text
}

/// The text without control characters, which could control the user's terminal: names come from other users.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::failure::tests::{point, refused, workload},
        *,
    };

    /// The columns of a line, by where the header has them.
    fn columns(text: &str) -> Vec<String> {
        let names = ["TIME", "REASON", "PHASE", "SEEN BY", "POINT", "FROM", "TO ", "DETAILS"];
        let begins: Vec<_> = names.iter().map(|name| HEADER.find(name).expect("a column")).collect();
        let characters: Vec<char> = text.chars().collect();
        let ends = begins.iter().skip(1).copied().chain([usize::MAX]);
        let column = |(begin, end): (&usize, usize)| -> String {
            let end = end.min(characters.len());
            characters[(*begin).min(end)..end].iter().collect()
        };
        let columns = begins.iter().zip(ends).map(column);
        columns.map(|column| column.trim_end().to_owned()).collect()
    }

    #[test]
    fn the_columns_stand_below_their_names() {
        assert_eq!(
            columns(&line(&refused())),
            [
                "2025-11-23T09:12:03.045Z",
                "refused",
                "handshake",
                "client",
                "shop/waypoint",
                "shop/checkout 10.90.0.11:43210",
                "shop/waypoint [fd00:90::2]:15008",
                ""
            ]
        );
    }

    #[test]
    fn who_called_comes_first_whoever_saw_it() {
        let failure = Failure {
            side: Side::Downstream,
            vantage: Some(super::super::failure::Vantage::Own),
            owner: End::Point {
                point: point("shop/waypoint"),
                acts_for: None,
            },
            peer: End::Unknown,
            reason: "reset_by_self".into(),
            phase: "established".into(),
            duration_seconds: Some(1.2345),
            sent_bytes: 12,
            received_bytes: 512,
            retransmits: 2,
            ..refused()
        };
        let columns = columns(&line(&failure));
        assert_eq!(
            columns[1..],
            [
                "reset_by_self",
                "established",
                "self",
                "shop/waypoint",
                "unknown [fd00:90::2]:15008",
                "shop/waypoint 10.90.0.11:43210",
                "after 1.234 s, sent 12 B, received 512 B, retransmits 2"
            ]
        );
    }

    #[test]
    fn a_proxy_says_for_whom() {
        let failure = Failure {
            point: None,
            vantage: None,
            owner: End::Point {
                point: point("istio-system/ztunnel"),
                acts_for: Some(workload("shop/cart")),
            },
            peer: End::External { name: None },
            local_address: None,
            ..refused()
        };
        let columns = columns(&line(&failure));
        assert_eq!(columns[3..6], ["-", "-", "shop/cart via istio-system/ztunnel"]);
    }

    #[test]
    fn whose_call_it_hurt_is_said_and_how_that_is_known() {
        for (certainty, expected) in [("certain", "for shop/cart"), ("estimated", "for shop/cart (estimated)")] {
            let failure = Failure {
                caller: Some(End::Workload(workload("shop/cart"))),
                caller_certainty: Some(certainty.into()),
                ..refused()
            };
            assert_eq!(columns(&line(&failure))[7], expected);
        }
    }

    #[test]
    fn names_do_not_control_the_terminal() {
        let failure = Failure {
            owner: End::Workload(workload("shop/\u{1b}[2Jx\n")),
            ..refused()
        };
        let text = line(&failure);
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(text.contains("shop/\u{fffd}[2Jx\u{fffd}"), "{text}");
    }
}
