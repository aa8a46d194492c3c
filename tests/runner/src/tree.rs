//! An expected tree of spans, compared with the real one.
//!
//! Spans beyond the expected ones, at another place, or of another kind or
//! status are differences; attributes and events beyond them are not.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::matcher::Matcher;
use crate::span::{Event, Kind, Span, Status};

/// What a span must be, and what must hang below it.
#[derive(Clone, Debug)]
pub struct SpanTree {
    name: &'static str,
    kind: Kind,
    status: Status,
    attributes: Vec<(&'static str, Matcher)>,
    absent: Vec<&'static str>,
    events: Vec<ExpectedEvent>,
    children: Vec<SpanTree>,
}

#[derive(Clone, Debug)]
struct ExpectedEvent {
    name: &'static str,
    attributes: Vec<(&'static str, Matcher)>,
}

impl SpanTree {
    /// Demands a span without children whose status nobody set.
    #[must_use]
    pub fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            status: Status::Unset,
            attributes: Vec::new(),
            absent: Vec::new(),
            events: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Demands that its status is Error.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.status = Status::Error;
        self
    }

    /// Demands an attribute.
    #[must_use]
    pub fn attribute(mut self, key: &'static str, matcher: impl Into<Matcher>) -> Self {
        self.attributes.push((key, matcher.into()));
        self
    }

    /// Demands that there is no attribute of this key.
    #[must_use]
    pub fn without(mut self, key: &'static str) -> Self {
        self.absent.push(key);
        self
    }

    /// Demands exactly one event of this name, with these attributes.
    #[must_use]
    pub fn event(
        mut self,
        name: &'static str,
        attributes: impl IntoIterator<Item = (&'static str, Matcher)>,
    ) -> Self {
        self.events.push(ExpectedEvent {
            name,
            attributes: attributes.into_iter().collect(),
        });
        self
    }

    /// Demands a span below it.
    #[must_use]
    pub fn child(mut self, child: SpanTree) -> Self {
        self.children.push(child);
        self
    }

    /// What the span must be called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many spans the whole tree has.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.children.iter().map(SpanTree::count).sum::<usize>()
    }

    /// Says where the spans of one trace differ from this tree; empty when
    /// nowhere. `parent` is the span that the client sent, if it sent one.
    #[must_use]
    pub fn differences(&self, spans: &[Span], parent: Option<&str>) -> Vec<String> {
        let mut differences = Vec::new();
        if spans.len() != self.count() {
            differences.push(format!(
                "expected {} spans, got {}",
                self.count(),
                spans.len()
            ));
        }
        let (roots, strays): (Vec<&Span>, Vec<&Span>) = spans
            .iter()
            .filter(|span| !has_parent_among(span, spans))
            .partition(|span| span.parent_span_id.as_deref() == parent);
        for stray in strays {
            let parent = stray.parent_span_id.as_deref().unwrap_or("none");
            differences.push(format!(
                "{}: its parent ({parent}) is not in the trace",
                stray.name
            ));
        }
        match roots[..] {
            [root] => self.compare(root, self.name, spans, &mut differences),
            [] => differences.push(format!("{}: no such root", self.name)),
            _ => {
                let names: Vec<&str> = roots.iter().map(|root| root.name.as_str()).collect();
                differences.push(format!("expected one root, got {}", names.join(", ")));
            }
        }
        differences
    }

    fn compare(&self, span: &Span, path: &str, spans: &[Span], differences: &mut Vec<String>) {
        if span.name != self.name {
            differences.push(format!("{path}: is called {:?}", span.name));
        }
        if span.kind != self.kind {
            differences.push(format!(
                "{path}: expected kind {}, got {}",
                self.kind, span.kind
            ));
        }
        if span.status != self.status {
            differences.push(format!(
                "{path}: expected status {:?}, got {:?}",
                self.status, span.status
            ));
        }
        compare_attributes(path, &self.attributes, &span.attributes, differences);
        for key in &self.absent {
            if let Some(value) = span.attributes.get(*key) {
                differences.push(format!("{path}: {key} must not be there, but is {value}"));
            }
        }
        for expected in &self.events {
            expected.compare(path, &span.events, differences);
        }
        self.compare_children(span, path, spans, differences);
    }

    fn compare_children(
        &self,
        span: &Span,
        path: &str,
        spans: &[Span],
        differences: &mut Vec<String>,
    ) {
        let mut children: Vec<&Span> = spans
            .iter()
            .filter(|child| child.parent_span_id.as_ref() == Some(&span.span_id))
            .collect();
        for expected in &self.children {
            let path = format!("{path} > {}", expected.name);
            match children
                .iter()
                .position(|child| child.name == expected.name)
            {
                Some(at) => expected.compare(children.remove(at), &path, spans, differences),
                None => differences.push(format!("{path}: missing")),
            }
        }
        for child in children {
            differences.push(format!("{path} > {}: unexpected", child.name));
        }
    }
}

impl ExpectedEvent {
    fn compare(&self, path: &str, events: &[Event], differences: &mut Vec<String>) {
        let found: Vec<&Event> = events
            .iter()
            .filter(|event| event.name == self.name)
            .collect();
        match found[..] {
            [event] => {
                let path = format!("{path}, event {}", self.name);
                compare_attributes(&path, &self.attributes, &event.attributes, differences);
            }
            _ => differences.push(format!(
                "{path}: expected one event {}, got {}",
                self.name,
                found.len()
            )),
        }
    }
}

fn compare_attributes(
    path: &str,
    expected: &[(&'static str, Matcher)],
    attributes: &BTreeMap<String, Value>,
    differences: &mut Vec<String>,
) {
    differences.extend(expected.iter().filter_map(|(key, matcher)| {
        matcher.difference(&format!("{path}: {key}"), attributes.get(*key))
    }));
}

fn has_parent_among(span: &Span, spans: &[Span]) -> bool {
    spans
        .iter()
        .any(|other| Some(&other.span_id) == span.parent_span_id.as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::SpanTree;
    use crate::matcher::Matcher;
    use crate::span::tests::span;
    use crate::span::{Event, Kind, Span, Status};

    fn expected() -> SpanTree {
        SpanTree::new("GET /", Kind::Server)
            .without("http.route")
            .child(
                SpanTree::new("work", Kind::Internal)
                    .attribute("step", "first")
                    .event(
                        "exception",
                        [("exception.type", Matcher::from("ValueError"))],
                    )
                    .child(SpanTree::new("save", Kind::Internal)),
            )
    }

    fn good() -> Vec<Span> {
        let mut work = span("work", "GET /");
        work.attributes.insert("step".to_owned(), json!("first"));
        work.events.push(Event {
            name: "exception".to_owned(),
            attributes: [("exception.type".to_owned(), json!("ValueError"))].into(),
        });
        vec![span("save", "work"), work, span("GET /", "")]
    }

    fn differs(change: impl FnOnce(&mut Vec<Span>), said: &str) {
        let mut spans = good();
        change(&mut spans);
        let differences = expected().differences(&spans, None);
        assert!(
            differences.iter().any(|line| line.contains(said)),
            "{said:?} in {differences:?}"
        );
    }

    #[test]
    fn the_expected_tree_has_no_differences() {
        assert_eq!(expected().count(), 3);
        assert_eq!(expected().differences(&good(), None), [""; 0]);
    }

    #[test]
    fn a_wrong_tree_is_told() {
        differs(|spans| spans.clear(), "no such root");
        differs(
            |spans| drop(spans.remove(0)),
            "GET / > work > save: missing",
        );
        differs(
            |spans| drop(spans.remove(2)),
            "work: its parent (GET /) is not in the trace",
        );
        differs(
            |spans| spans.push(span("more", "work")),
            "GET / > work > more: unexpected",
        );
        differs(
            |spans| spans.push(span("save", "work")),
            "expected 3 spans, got 4",
        );
        differs(
            |spans| spans.push(span("GET /", "")),
            "expected one root, got GET /, GET /",
        );
        differs(
            |spans| spans.push(span("circle", "circle")),
            "expected 3 spans, got 4",
        );
    }

    #[test]
    fn a_wrong_parent_is_told_at_both_places() {
        let sibling = |spans: &mut Vec<Span>| spans[0].parent_span_id = Some("GET /".to_owned());
        differs(sibling, "GET / > work > save: missing");
        differs(sibling, "GET / > save: unexpected");
    }

    #[test]
    fn a_wrong_span_is_told() {
        differs(
            |spans| spans[2].name = "GET".to_owned(),
            "is called \"GET\"",
        );
        differs(
            |spans| spans[1].kind = Kind::Client,
            "expected kind internal, got client",
        );
        differs(
            |spans| spans[0].status = Status::Error,
            "expected status Unset, got Error",
        );
        differs(
            |spans| spans[1].attributes.clear(),
            "GET / > work: step: expected \"first\"",
        );
        differs(
            |spans| {
                drop(
                    spans[2]
                        .attributes
                        .insert("http.route".to_owned(), json!("/")),
                )
            },
            "http.route must not be there",
        );
        differs(
            |spans| spans[1].events.clear(),
            "expected one event exception, got 0",
        );
        differs(
            |spans| spans[1].events[0].attributes.clear(),
            "event exception: exception.type: expected \"ValueError\"",
        );
    }

    #[test]
    fn the_root_hangs_on_the_parent_that_was_sent_and_on_no_other() {
        let mut spans = good();
        assert!(!expected().differences(&spans, Some("caller")).is_empty());
        spans[2].parent_span_id = Some("caller".to_owned());
        assert!(!expected().differences(&spans, None).is_empty());
        assert_eq!(expected().differences(&spans, Some("caller")), [""; 0]);
    }
}
