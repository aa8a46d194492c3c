//! A trace as text for people: its spans as a tree, each with its times, its attributes,
//! and its events and log records in the order of their times.
//!
//! Texts are a guest's. No control character of them reaches the text, each is bounded,
//! and parents may form a circle.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::terminal::{self, Styles};
use crate::viewer_client::trace::{Attribute, LogRecord, Span, SpanEvent, Trace};

/// Spans below this depth are shown at it.
const MAX_DEPTH: usize = 24;
/// What is shown of a name.
const MAX_NAME_BYTES: usize = 120;
/// What is shown of a value, and of the lines of a text such as a stack trace, unless
/// all is asked for.
const MAX_VALUE_BYTES: usize = 120;
const MAX_LINES: usize = 12;
/// The same where all is asked for.
const MAX_VALUE_BYTES_OF_ALL: usize = 16 * 1024;
const MAX_LINES_OF_ALL: usize = 1000;
/// Columns of the bar that shows when a span ran.
const BAR: usize = 24;
/// Attributes of a server span that say what the request's line says, or what hardly
/// differs between requests.
const USUAL: [&str; 9] = [
    "client.",
    "fanlight.component.digest",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "network.",
    "server.",
    "url.scheme",
    "user_agent.",
];

/// How a tree is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpanTree {
    pub(crate) styles: Styles,
    /// Whether all attributes and whole stack traces are shown.
    pub(crate) shows_all: bool,
}

/// What all rows have in common.
struct Frame {
    /// The start of the trace, in nanoseconds since 1970.
    start: u64,
    taken: Duration,
    /// Columns of names and what stands in front of them.
    name_width: usize,
}

/// A span's place in the tree.
struct Row<'a> {
    span: &'a Span,
    /// What stands in front of its name, and in front of the lines below that.
    prefix: String,
    below: String,
}

/// Something that happened while a span ran.
enum Moment<'a> {
    Event(&'a SpanEvent),
    Log(&'a LogRecord),
}

impl Moment<'_> {
    fn time(&self) -> u64 {
        match self {
            Self::Event(event) => event.time,
            Self::Log(record) => record.time,
        }
    }
}

impl SpanTree {
    /// Writes a trace.
    pub(crate) fn text(&self, trace: &Trace) -> String {
        let rows = rows(&trace.spans);
        let name_width = rows
            .iter()
            .map(|row| row.prefix.chars().count() + name(row.span).chars().count())
            .max();
        let frame = Frame {
            start: trace.start(),
            taken: trace.duration(),
            name_width: name_width.unwrap_or(0).min(64),
        };
        let start = frame.start;
        let mut logs: HashMap<&str, Vec<&LogRecord>> = HashMap::new();
        for record in &trace.logs {
            logs.entry(&record.span_id).or_default().push(record);
        }
        let mut text = String::new();
        for row in &rows {
            self.add_span(&mut text, row, &frame);
            let mut moments: Vec<_> = row.span.events.iter().map(Moment::Event).collect();
            let of_span = logs.remove(&*row.span.id).unwrap_or_default();
            moments.extend(of_span.into_iter().map(Moment::Log));
            moments.sort_by_key(Moment::time);
            for moment in moments {
                self.add_moment(&mut text, &row.below, &moment, start);
            }
        }
        let is_left = |record: &&LogRecord| logs.contains_key(&*record.span_id);
        let mut left = trace.logs.iter().filter(is_left).peekable();
        if left.peek().is_some() {
            text.push_str("log records without a span here:\n");
        }
        for record in left {
            self.add_moment(&mut text, "", &Moment::Log(record), start);
        }
        text
    }

    fn add_span(&self, text: &mut String, row: &Row<'_>, frame: &Frame) {
        let Styles {
            bold, dim, error, ..
        } = self.styles;
        let Row {
            span,
            prefix,
            below,
        } = row;
        let name = name(span);
        let style = if span.is_error { error } else { bold };
        let used = prefix.chars().count() + name.chars().count();
        let space = frame.name_width.saturating_sub(used);
        let taken = terminal::duration(span.duration());
        let offset = Duration::from_nanos(span.start.saturating_sub(frame.start));
        let bar = bar(offset, span.duration(), frame.taken);
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            text,
            "{dim}{prefix}{dim:#}{style}{name}{style:#}{:space$}  {taken:>8}  {dim}{:>9} {bar}{dim:#}",
            "",
            after(offset),
        );
        if let Some(status) = span.attribute("http.response.status_code") {
            let status = terminal::shown(status, 8);
            let number = status.parse().unwrap_or(0);
            let style = self.styles.of_status(number, span.is_error);
            let _ = write!(text, " {style}{status}{style:#}");
        }
        if span.is_error {
            let _ = write!(text, " {error}{}{error:#}", why(span));
        }
        text.push('\n');
        let attributes = self.attributes(span);
        if !attributes.is_empty() {
            let _ = writeln!(text, "{dim}{below}{attributes}{dim:#}");
        }
        for trace in &span.links {
            let trace = terminal::shown(trace, 32);
            let _ = writeln!(text, "{dim}{below}linked with trace {trace}{dim:#}");
        }
    }

    /// The attributes of a span that tell it from others, in one line.
    fn attributes(&self, span: &Span) -> String {
        let is_shown = |it: &&Attribute| {
            let is_usual = USUAL.iter().any(|usual| it.key.starts_with(usual));
            let is_elsewhere = span.is_error && it.key == "error.type";
            self.shows_all || !(span.is_server && is_usual || is_elsewhere)
        };
        let pairs = self.pairs(span.attributes.iter().filter(is_shown));
        pairs.trim_start().to_owned()
    }

    /// Attributes in one line, each behind two blanks.
    fn pairs<'a>(&self, attributes: impl Iterator<Item = &'a Attribute>) -> String {
        let mut line = String::new();
        for Attribute { key, value } in attributes {
            let max_bytes = match self.shows_all {
                true => MAX_VALUE_BYTES_OF_ALL,
                false => MAX_VALUE_BYTES,
            };
            line.push_str("  ");
            let value = match in_units(key, value) {
                Some(value) => value,
                None => terminal::shown(value, max_bytes),
            };
            let _ = write!(line, "{}={value}", terminal::shown(key, MAX_NAME_BYTES));
        }
        line
    }

    fn add_moment(&self, text: &mut String, below: &str, moment: &Moment<'_>, start: u64) {
        let Styles { dim, error, .. } = self.styles;
        let offset = after(Duration::from_nanos(moment.time().saturating_sub(start)));
        match moment {
            Moment::Event(event) if event.name == "exception" => {
                let part = |key| event.attribute(key).unwrap_or_default();
                let what = [part("exception.type"), part("exception.message")];
                let what: Vec<_> = what.into_iter().filter(|it| !it.is_empty()).collect();
                let what = what.join(": ");
                let lines = self.lines(&what);
                let first = lines.first().map_or("", String::as_str);
                let _ = writeln!(
                    text,
                    "{dim}{below}{offset:>9}{dim:#} {error}exception {first}{error:#}"
                );
                let stack = self.lines(part("exception.stacktrace"));
                for line in lines.iter().skip(1).chain(&stack) {
                    let _ = writeln!(text, "{dim}{below}{:9}   {line}{dim:#}", "");
                }
            }
            Moment::Event(event) => {
                let name = terminal::shown(&event.name, MAX_NAME_BYTES);
                let pairs = self.pairs(event.attributes.iter());
                let _ = writeln!(
                    text,
                    "{dim}{below}{offset:>9}{dim:#} event {name}{dim}{pairs}{dim:#}"
                );
            }
            Moment::Log(record) => {
                let style = self.styles.of_severity(record.severity);
                let level = record.level();
                let lines = self.lines(&body(record));
                let first = lines.first().map_or("", String::as_str);
                let pairs = self.pairs(record.attributes.iter());
                let _ = writeln!(
                    text,
                    "{dim}{below}{offset:>9}{dim:#} {style}{level}{style:#} {first}\
                     {dim}{pairs}{dim:#}"
                );
                for line in lines.iter().skip(1) {
                    let _ = writeln!(text, "{dim}{below}{:9}   {dim:#}{line}", "");
                }
            }
        }
    }

    /// The lines of a text, each without control characters.
    fn lines(&self, text: &str) -> Vec<String> {
        let (max_lines, max_bytes) = match self.shows_all {
            true => (MAX_LINES_OF_ALL, MAX_VALUE_BYTES_OF_ALL),
            false => (MAX_LINES, 2 * MAX_VALUE_BYTES),
        };
        let mut lines: Vec<_> = text
            .lines()
            .take(max_lines)
            .map(|line| terminal::shown(line, max_bytes))
            .collect();
        let more = text.lines().count().saturating_sub(lines.len());
        if more > 0 {
            lines.push(format!("… {more} more lines: --all-attributes shows them"));
        }
        lines
    }
}

/// What a record says: its body, behind its name where it has one.
pub(crate) fn body(record: &LogRecord) -> String {
    match record.event_name.as_str() {
        "" => record.body.clone(),
        name => format!("{name} {}", record.body),
    }
}

fn name(span: &Span) -> String {
    match span.name.as_str() {
        "" => "(no name)".to_owned(),
        name => terminal::shown(name, MAX_NAME_BYTES),
    }
}

/// Why a span failed: the type of its error and what describes it, each once.
fn why(span: &Span) -> String {
    let word = span.attribute("error.type").unwrap_or_default();
    let status = span.attribute("http.response.status_code");
    let mut parts: Vec<&str> = Vec::new();
    if Some(word) != status && !word.is_empty() {
        parts.push(word);
    }
    if span.status_message != word && !span.status_message.is_empty() {
        parts.push(&span.status_message);
    }
    match parts.is_empty() {
        true => "error".to_owned(),
        false => terminal::shown(&parts.join(": "), MAX_VALUE_BYTES),
    }
}

fn after(offset: Duration) -> String {
    format!("+{}", terminal::duration(offset))
}

/// A value of the host's own with its unit.
fn in_units(key: &str, value: &str) -> Option<String> {
    match key {
        "fanlight.guest.busy_time" | "fanlight.guest.instantiate_time" => {
            let seconds = Duration::try_from_secs_f64(value.parse().ok()?).ok()?;
            Some(terminal::duration(seconds))
        }
        "fanlight.guest.memory.peak" => Some(terminal::size(value.parse().ok()?)),
        _ => None,
    }
}

/// A bar that stands for a part of the whole.
fn bar(offset: Duration, taken: Duration, whole: Duration) -> String {
    let column = |time: Duration| match whole.is_zero() {
        true => 0,
        false => {
            let columns = time.as_nanos() * BAR as u128 / whole.as_nanos();
            usize::try_from(columns).unwrap_or(BAR).min(BAR)
        }
    };
    let start = column(offset).min(BAR - 1);
    let end = column(offset + taken).clamp(start + 1, BAR);
    let mut bar = String::from("▕");
    bar.extend((0..BAR).map(|at| match (start..end).contains(&at) {
        true => '█',
        false => ' ',
    }));
    bar.push('▏');
    bar
}

/// The spans in the order of the tree: each before its children, and children by their
/// start. Never recurses: a guest decides how deep its spans are.
fn rows(spans: &[Span]) -> Vec<Row<'_>> {
    let places: HashMap<&str, usize> = spans
        .iter()
        .enumerate()
        .map(|(at, it)| (it.id.as_str(), at))
        .collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (at, span) in spans.iter().enumerate() {
        match places.get(span.parent.as_str()) {
            Some(parent) if *parent != at => children[*parent].push(at),
            _ => roots.push(at),
        }
    }
    for list in children.iter_mut().chain([&mut roots]) {
        list.sort_by_key(|at| (spans[*at].start, std::cmp::Reverse(spans[*at].end)));
    }
    let mut rows = Vec::with_capacity(spans.len());
    let mut is_done = vec![false; spans.len()];
    // Spans in a circle are below no root: each circle begins at its first span.
    for root in roots.into_iter().chain(0..spans.len()) {
        let mut stack = vec![(root, String::new(), String::new(), 0)];
        while let Some((at, prefix, rest, depth)) = stack.pop() {
            if std::mem::replace(&mut is_done[at], true) {
                continue;
            }
            let below = match children[at].is_empty() {
                true => format!("{rest}   "),
                false => format!("{rest}│  "),
            };
            rows.push(Row {
                span: &spans[at],
                prefix,
                below,
            });
            for (nth, child) in children[at].iter().enumerate().rev() {
                let is_last = nth + 1 == children[at].len();
                let (branch, trunk) = match (depth < MAX_DEPTH, is_last) {
                    (false, _) => ("", ""),
                    (true, false) => ("├─ ", "│  "),
                    (true, true) => ("└─ ", "   "),
                };
                let prefix = format!("{rest}{branch}");
                stack.push((*child, prefix, format!("{rest}{trunk}"), depth + 1));
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use fanlight_telemetry::sanitize::is_control;
    use serde_json::Value;

    use super::*;

    fn span(id: &str, parent: &str, start: u64, end: u64) -> Span {
        Span {
            id: id.to_owned(),
            parent: parent.to_owned(),
            name: format!("span {id}"),
            start: start * 1_000_000,
            end: end * 1_000_000,
            ..Span::default()
        }
    }

    fn trace(spans: Vec<Span>) -> Trace {
        Trace {
            id: "t".to_owned(),
            spans,
            logs: Vec::new(),
        }
    }

    fn record(time: u64, span_id: &str, body: &str) -> LogRecord {
        LogRecord {
            json: Value::Null,
            time: time * 1_000_000,
            severity: 17,
            event_name: String::new(),
            body: body.to_owned(),
            attributes: Vec::new(),
            trace_id: "t".to_owned(),
            span_id: span_id.to_owned(),
        }
    }

    #[test]
    fn spans_stand_below_their_parents_in_the_order_of_their_starts() {
        let mut it = trace(vec![
            span("c", "a", 6, 8),
            span("a", "outside", 0, 10),
            span("d", "b", 2, 3),
            span("b", "a", 1, 5),
        ]);
        it.logs = vec![record(7, "c", "late"), record(9, "elsewhere", "lost")];
        let text = SpanTree::default().text(&it);
        let lines: Vec<_> = text.lines().map(|line| line.split("  ").next()).collect();
        assert_eq!(
            lines,
            [
                Some("span a"),
                Some("├─ span b"),
                Some("│"),
                Some("└─ span c"),
                Some(""),
                Some("log records without a span here:"),
                Some(" +9.00 ms ERROR lost"),
            ],
            "{text}"
        );
        assert!(text.contains("│  └─ span d"), "{text}");
        assert!(text.contains("+7.00 ms ERROR late"), "{text}");
        assert!(text.contains("+9.00 ms ERROR lost"), "{text}");
        assert!(text.contains("10.0 ms    +0.0 µs ▕████████████████████████▏"));
    }

    #[test]
    fn a_circle_of_parents_and_a_deep_tree_have_an_end() {
        let circle = trace(vec![span("a", "b", 0, 1), span("b", "a", 0, 1)]);
        let text = SpanTree::default().text(&circle);
        assert_eq!(text.matches("span ").count(), 2, "{text}");
        let deep = (0..1000).map(|at| span(&at.to_string(), &(at + 1).to_string(), 0, 1));
        let text = SpanTree::default().text(&trace(deep.collect()));
        assert_eq!(text.lines().count(), 1000);
        assert!(text.lines().all(|line| line.chars().count() < 200));
    }

    #[test]
    fn what_a_guest_writes_cannot_steer_the_terminal_nor_add_lines_of_its_own() {
        let evil = "a\u{1b}[2J\u{9b}31m\u{202e}\rb";
        let attribute = |key: &str, value: &str| Attribute {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let mut hostile = span("a", "", 0, 1);
        hostile.name = format!("{evil}\n{evil}");
        hostile.is_error = true;
        hostile.status_message = evil.to_owned();
        hostile.attributes = vec![
            attribute(evil, evil),
            attribute("http.response.status_code", evil),
            attribute("fanlight.guest.busy_time", evil),
        ];
        hostile.links = vec![evil.to_owned()];
        hostile.events = vec![
            SpanEvent {
                time: 0,
                name: evil.to_owned(),
                attributes: vec![attribute(evil, evil)],
            },
            SpanEvent {
                time: 0,
                name: "exception".to_owned(),
                attributes: vec![
                    attribute("exception.message", &format!("{evil}\n{evil}")),
                    attribute(
                        "exception.stacktrace",
                        &format!("{evil}\n{evil}\n").repeat(20),
                    ),
                ],
            },
        ];
        let mut it = trace(vec![hostile]);
        let mut printed = record(0, "a", &format!("{evil}\n{evil}"));
        printed.event_name = evil.to_owned();
        it.logs = vec![printed];
        for shows_all in [false, true] {
            let tree = SpanTree {
                shows_all,
                ..SpanTree::default()
            };
            let text = tree.text(&it);
            let is_raw = |it: char| it != '\n' && is_control(it);
            assert!(!text.contains(is_raw), "{text:?}");
            // Each line of a text of several stands behind the tree.
            assert!(!text.contains("\na"), "{text:?}");
        }
    }

    #[test]
    fn a_long_stack_trace_is_cut_unless_all_is_asked_for() {
        let mut failed = span("a", "", 0, 1);
        failed.events = vec![SpanEvent {
            time: 0,
            name: "exception".to_owned(),
            attributes: vec![Attribute {
                key: "exception.stacktrace".to_owned(),
                value: "frame\n".repeat(40),
            }],
        }];
        let it = trace(vec![failed]);
        let frames = |shows_all| {
            let tree = SpanTree {
                shows_all,
                ..SpanTree::default()
            };
            tree.text(&it).matches("frame").count()
        };
        assert_eq!((frames(false), frames(true)), (MAX_LINES, 40));
    }

    #[test]
    fn the_hosts_measures_have_units() {
        assert_eq!(
            in_units("fanlight.guest.busy_time", "0.000612"),
            Some("612 µs".to_owned())
        );
        let memory = in_units("fanlight.guest.memory.peak", "1179648");
        assert_eq!(memory, Some("1.1 MiB".to_owned()));
        assert_eq!(in_units("fanlight.guest.busy_time", "-1"), None);
        assert_eq!(in_units("own", "1"), None);
    }
}
