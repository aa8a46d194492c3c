//! Server-sent events: what kind of thing is new, and the id to go on from.

use http_body_util::BodyExt as _;

use crate::admin_client::OpenResponse;

/// A line is no longer than this; the viewer's have some ten bytes.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// The viewer's stream of events.
pub(crate) struct Events {
    open: OpenResponse,
    parser: Parser,
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: Option<String>,
}

impl Events {
    pub(crate) fn new(open: OpenResponse) -> Self {
        Self {
            open,
            parser: Parser::default(),
        }
    }

    /// Waits for events; none where the stream has ended, or is no stream of events.
    pub(crate) async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            let frame = self.open.response.body_mut().frame().await?.ok()?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let events = self.parser.feed(&data)?;
            if !events.is_empty() {
                return Some(events);
            }
        }
    }
}

/// Puts lines together from pieces of the stream.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    event: Event,
}

impl Parser {
    /// The events that end in this piece; none where a line is too long to be one.
    fn feed(&mut self, piece: &[u8]) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        for byte in piece {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take(String::from_utf8_lossy(&line).trim_end()));
                }
                _ if self.line.len() == MAX_LINE_BYTES => return None,
                _ => self.line.push(*byte),
            }
        }
        Some(events)
    }

    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.kind.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "event" => self.event.kind = value,
            "id" => self.event.id = Some(value),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_pieces() {
        let mut parser = Parser::default();
        let stream = "retry: 1000\n\nid: 7\nevent: logs\ndata: {}\n\n: still here\n\nid: 8\r\n\
                      event:traces\r\n\r\n";
        let mut events = Vec::new();
        for piece in stream.as_bytes().chunks(3) {
            events.extend(parser.feed(piece).unwrap());
        }
        let event = |kind: &str, id: &str| Event {
            kind: kind.to_owned(),
            id: Some(id.to_owned()),
        };
        assert_eq!(events, [event("logs", "7"), event("traces", "8")]);
    }

    #[test]
    fn a_line_without_end_ends_the_stream() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; MAX_LINE_BYTES]), Some(Vec::new()));
        assert_eq!(parser.feed(b"x"), None);
    }
}
