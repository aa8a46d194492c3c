//! A trace as a page shows it: the trace, and what its reader has asked for.

use opentelemetry_proto::tonic::common::v1::KeyValue;

use crate::model::{SpanModel, TraceModel};
use crate::params::Params;
use crate::query::contains;
use crate::value;

/// A trace on a page, and what the reader has asked of it.
pub(crate) struct Shown<'a> {
    pub(crate) model: &'a TraceModel,
    pub(crate) params: &'a Params,
    /// The page's own path.
    pub(crate) path: String,
    /// What is searched for inside, in lower case.
    pub(crate) text: String,
    /// The span whose details are shown.
    pub(crate) selected: Option<u64>,
}

impl Shown<'_> {
    /// A link to this page with other parameters.
    pub(crate) fn link(&self, changes: &[(&str, &str)]) -> String {
        self.params.with(changes).link(&self.path)
    }

    /// A link that shows the details of a span, or hides them.
    pub(crate) fn span_link(&self, span_id: u64) -> String {
        let id = format!("{span_id:016x}");
        match self.selected == Some(span_id) {
            true => format!("{}#s-{id}", self.link(&[("span", "")])),
            false => format!("{}#s-{id}", self.link(&[("span", &id)])),
        }
    }

    /// Whether the span has the text that is searched for.
    pub(crate) fn is_match(&self, span: &SpanModel) -> bool {
        let has = |text: &str| contains(text.as_bytes(), &self.text);
        let in_attributes = |list: &[KeyValue]| {
            list.iter()
                .any(|it| has(&it.key) || has(&value::text(it.value.as_ref())))
        };
        !self.text.is_empty()
            && (has(&span.span.name)
                || in_attributes(&span.span.attributes)
                || span
                    .span
                    .events
                    .iter()
                    .any(|it| has(&it.name) || in_attributes(&it.attributes))
                || has(&format!("{:016x}", span.head.span_id)))
    }
}
