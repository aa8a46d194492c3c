//! A span in memory.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::store::origin::Origin;
use crate::wire::SpanHead;

/// A span, as it was encoded.
#[derive(Clone, Debug)]
pub(crate) struct StoredSpan {
    pub(crate) head: SpanHead,
    pub(crate) origin: Arc<Origin>,
    /// An encoded `Span`.
    pub(crate) bytes: Arc<[u8]>,
}

impl StoredSpan {
    /// The span. One that cannot be decoded, such as one whose texts are not UTF-8, has
    /// what the store knows of it.
    pub(crate) fn decode(&self) -> Span {
        Span::decode(&*self.bytes).unwrap_or_else(|_| Span {
            trace_id: self.head.trace_id.to_be_bytes().into(),
            span_id: self.head.span_id.to_be_bytes().into(),
            parent_span_id: match self.head.parent {
                0 => Vec::new(),
                parent => parent.to_be_bytes().into(),
            },
            name: "(malformed span)".to_owned(),
            kind: self.head.kind.into(),
            start_time_unix_nano: self.head.start,
            end_time_unix_nano: self.head.end,
            ..Span::default()
        })
    }
}
