//! What a list shows of a trace.

use crate::store::span::StoredSpan;
use crate::value::find_text;
use crate::wire::{SERVER, SpanHead};

/// What a list shows of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The name of the span that the trace begins with.
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) route: String,
    pub(crate) path: String,
    /// The status code of the response, or 0.
    pub(crate) http_status: u16,
    pub(crate) error_type: String,
    pub(crate) version: String,
    pub(crate) generation: String,
    pub(crate) span_id: u64,
}

impl Summary {
    pub(crate) fn new(spans: &[StoredSpan]) -> Self {
        let Some(entry) = entry_span(spans) else {
            return Self::default();
        };
        let span = entry.decode();
        let text = |key: &str| {
            let mut text = find_text(&span.attributes, key).unwrap_or_default();
            shorten(&mut text);
            text
        };
        let mut name = span.name.clone();
        shorten(&mut name);
        Self {
            service: entry.origin.service().to_owned(),
            method: text("http.request.method"),
            route: text("http.route"),
            path: text("url.path"),
            http_status: text("http.response.status_code").parse().unwrap_or(0),
            error_type: text("error.type"),
            version: text("fanlight.component.version"),
            generation: text("fanlight.component.generation"),
            span_id: entry.head.span_id,
            name,
        }
    }

    /// Route, or else path, or else name.
    pub(crate) fn target(&self) -> &str {
        let target = [&self.route, &self.path]
            .into_iter()
            .find(|it| !it.is_empty());
        target.unwrap_or(&self.name)
    }
}

/// A list needs no more of a text, and the memory of summaries is bounded.
fn shorten(text: &mut String) {
    const MAX_BYTES: usize = 120;
    if text.len() > MAX_BYTES {
        text.truncate(text.floor_char_boundary(MAX_BYTES));
        text.push('…');
    }
    text.shrink_to_fit();
}

/// The span that a trace begins with here: the earliest server span, or else the
/// earliest span whose parent is not in the trace, or else the earliest.
fn entry_span(spans: &[StoredSpan]) -> Option<&StoredSpan> {
    let has_parent = |head: &SpanHead| {
        head.parent != 0
            && spans
                .iter()
                .take(64)
                .any(|it| it.head.span_id == head.parent)
    };
    spans.iter().min_by_key(|it| {
        let head = &it.head;
        (head.kind != SERVER, has_parent(head), head.start)
    })
}
