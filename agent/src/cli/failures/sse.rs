//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), as far as the agent sends them.

/// The limit of a line, in bytes; the longest record is far shorter.
const LONGEST: usize = 1 << 20;

/// A server-sent event, without fields that the agent does not send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its `id`, if it has one.
    pub id: Option<u64>,
    /// Its type (`event`); empty if it has none.
    pub name: String,
    /// Its payload (`data`), here JSON.
    pub data: String,
}

/// Parses events from a stream that arrives in pieces.
#[derive(Debug, Default)]
pub struct Parser {
    /// The beginning of an incomplete line.
    line: Vec<u8>,
    event: Event,
}

impl Parser {
    /// Parses a piece and returns the events that it completes.
    ///
    /// # Errors
    /// When it is not a stream of events.
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len().max(self.event.data.len()) > LONGEST {
                return Err("not a stream of events".to_owned());
            }
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8(line).map_err(|_| "not text in UTF-8".to_owned())?;
                events.extend(self.line(line.trim_end_matches(['\r', '\n'])));
            }
        }
        Ok(events)
    }

    /// Parses a line. An empty line ends an event; an event without content is ignored.
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.event.id = value.parse().ok(),
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment, to keep the connection alive, or a field of later versions.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "id: 0\nevent: start\ndata: {\"run\":1}\n\n:\n\n: keep-alive\n\nretry: 5\ndata: a\ndata:b\r\n\r\n\
                          event: failure\nid:18446744073709551615\ndata: \u{fc}\n\ndata: without an end\n";

    fn events() -> Vec<Event> {
        let event = |id, name: &str, data: &str| Event {
            id,
            name: name.to_owned(),
            data: data.to_owned(),
        };
        vec![
            event(Some(0), "start", "{\"run\":1}"),
            event(None, "", "a\nb"),
            event(Some(u64::MAX), "failure", "\u{fc}"),
        ]
    }

    #[test]
    fn a_stream_is_read() {
        assert_eq!(Parser::default().take(STREAM.as_bytes()), Ok(events()));
    }

    #[test]
    fn what_has_no_end_is_no_event() {
        let mut parser = Parser::default();
        let mut pieces = std::iter::repeat_with(|| parser.take(&[b'x'; 4096])).take(300);
        assert!(pieces.any(|taken| taken.is_err()));
        let mut parser = Parser::default();
        let mut pieces =
            std::iter::repeat_with(|| parser.take(b"data: 0123456789012345678901234567890\n")).take(40_000);
        assert!(pieces.any(|taken| taken.is_err()));
        assert!(Parser::default().take(b"data: \xff\n").is_err());
    }

    proptest! {
        #[test]
        fn pieces_may_be_cut_anywhere(mut cuts in proptest::collection::vec(0..STREAM.len(), 0..8)) {
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut found = Vec::new();
            for cut in cuts.windows(2) {
                found.extend(parser.take(&STREAM.as_bytes()[cut[0]..cut[1]]).expect("a stream"));
            }
            prop_assert_eq!(found, events());
        }

        #[test]
        fn anything_is_bearable(pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let mut parser = Parser::default();
            for piece in &pieces {
                if parser.take(piece).is_err() {
                    break;
                }
            }
        }
    }
}
