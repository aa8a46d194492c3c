//! A span as tests look at it, wherever it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What it is called.
    pub name: String,
    /// 16 lower-case hexadecimal digits.
    pub span_id: String,
    /// The same of its parent; `None` for the root of a trace.
    pub parent_span_id: Option<String>,
    /// The part it plays.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// Its attributes by key.
    pub attributes: BTreeMap<String, Value>,
    /// Its events in their order.
    pub events: Vec<Event>,
    /// Nanoseconds since 1970.
    pub start_unix_nanos: u64,
    /// Nanoseconds since 1970.
    pub end_unix_nanos: u64,
}

impl Span {
    /// Tells how long it lasted; zero where it ended before it began.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end_unix_nanos.saturating_sub(self.start_unix_nanos))
    }
}

/// The part that a span plays between caller and callee, numbered as in OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Not said.
    #[default]
    Unspecified,
    /// Work within a component.
    Internal,
    /// The handling of a request from elsewhere.
    Server,
    /// A request to another service.
    Client,
    /// The making of a message.
    Producer,
    /// The handling of a message.
    Consumer,
}

impl Kind {
    /// Takes the number that OTLP gives it.
    #[must_use]
    pub fn from_otlp(number: u64) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        })
    }
}

/// How a span ended, numbered as in OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nobody said.
    #[default]
    Unset,
    /// Somebody vouched for it.
    Ok,
    /// It failed.
    Error,
}

impl Status {
    /// Takes the number that OTLP gives it.
    #[must_use]
    pub fn from_otlp(number: u64) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }
}

/// Something that happened at one time in a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What it is called.
    pub name: String,
    /// Its attributes by key.
    pub attributes: BTreeMap<String, Value>,
}

/// Draws the tree of a trace's spans, a line each, children below their parent in
/// the order in which they began. What hangs on no span of the trace is a root.
#[must_use]
pub fn draw(spans: &[Span]) -> Vec<String> {
    let is_root = |span: &&Span| {
        !spans
            .iter()
            .any(|other| Some(&other.span_id) == span.parent_span_id.as_ref())
    };
    let mut lines = Vec::new();
    for root in in_order(spans.iter().filter(is_root)) {
        draw_below(root, "", "", spans, &mut lines);
    }
    lines
}

fn draw_below(span: &Span, branch: &str, indent: &str, spans: &[Span], lines: &mut Vec<String>) {
    // A span is drawn once: a circle of parents has no root and is never entered,
    // and one that repeats an id must not be followed for ever.
    if lines.len() > spans.len() {
        return;
    }
    let label = format!("{branch}{}", span.name);
    let mark = if span.status == Status::Error {
        "  error"
    } else {
        ""
    };
    let millis = span.duration().as_secs_f64() * 1e3;
    lines.push(format!(
        "{label:<28} {:<8} {millis:>7.1} ms{mark}",
        span.kind
    ));

    let children = in_order(
        spans
            .iter()
            .filter(|child| child.parent_span_id.as_ref() == Some(&span.span_id)),
    );
    for (at, child) in children.iter().enumerate() {
        let (turn, below) = if at + 1 == children.len() {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let (branch, below) = (format!("{indent}{turn}"), format!("{indent}{below}"));
        draw_below(child, &branch, &below, spans, lines);
    }
}

fn in_order<'a>(spans: impl Iterator<Item = &'a Span>) -> Vec<&'a Span> {
    let mut spans: Vec<&Span> = spans.collect();
    spans.sort_by_key(|span| span.start_unix_nanos);
    spans
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Kind, Span, Status, draw};

    /// Makes a span whose id is its name; an empty parent makes it a root.
    pub(crate) fn span(name: &str, parent: &str) -> Span {
        Span {
            name: name.to_owned(),
            span_id: name.to_owned(),
            parent_span_id: (!parent.is_empty()).then(|| parent.to_owned()),
            kind: if parent.is_empty() {
                Kind::Server
            } else {
                Kind::Internal
            },
            status: Status::Unset,
            attributes: Default::default(),
            events: Vec::new(),
            start_unix_nanos: 0,
            end_unix_nanos: 1_500_000,
        }
    }

    #[test]
    fn children_are_drawn_below_their_parent_in_the_order_they_began() {
        let mut last = span("last", "work");
        last.start_unix_nanos = 9;
        last.status = Status::Error;
        let spans = [
            last,
            span("first", "work"),
            span("work", "GET /"),
            span("GET /", ""),
        ];
        let drawing = draw(&spans);
        let beginnings = ["GET / ", "└─ work ", "   ├─ first ", "   └─ last "];
        assert_eq!(drawing.len(), beginnings.len());
        for (line, beginning) in drawing.iter().zip(beginnings) {
            assert!(line.starts_with(beginning), "{line}");
        }
        assert!(drawing[3].ends_with("error"), "{drawing:?}");
    }

    #[test]
    fn spans_in_a_circle_end_the_drawing() {
        let spans = [span("a", "a"), span("root", ""), span("root", "root")];
        assert!(draw(&spans).len() <= 4);
    }
}
