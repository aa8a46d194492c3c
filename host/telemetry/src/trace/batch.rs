//! Makes export requests of the spans in the queue.

use std::collections::HashMap;

use bytes::Bytes;
use opentelemetry::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1 as proto;
use opentelemetry_proto::tonic::resource::v1::Resource as ResourceMessage;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use prost::Message as _;
use tokio::sync::Notify;

use crate::config::batch::BatchConfig;
use crate::export::destination::Destination;
use crate::logs::queue::Batches;
use crate::otlp::request::EncodedTraces;
use crate::trace::encode::{bytes_field, put_header};
use crate::trace::queue::{Part, Room, SpanQueue};

/// The most bytes of spans in a request, unless one span is larger. Collectors
/// take four times as much, but for JSON a request is in memory as a tree,
/// which is ten times as large and more.
const REQUEST_BYTES: usize = 1024 * 1024;

impl Batches for SpanQueue {
    type Exporter = SpanExporter;

    fn config(&self) -> &BatchConfig {
        &self.config
    }

    fn full_batch(&self) -> &Notify {
        &self.full_batch
    }

    fn first_item(&self) -> &Notify {
        &self.first_item
    }

    fn is_empty(&self) -> bool {
        self.waiting.now().spans == 0
    }

    async fn export_all(&self, exporter: &SpanExporter) {
        let mut requests = Requests::new(self.take(), self.config.max_batch);
        while let Some(parts) = requests.next() {
            exporter.export(self, parts).await;
        }
    }
}

/// Divides parts into requests.
pub(crate) struct Requests {
    parts: std::iter::Peekable<std::vec::IntoIter<Part>>,
    max_spans: usize,
}

impl Requests {
    /// Requests of at most `max_spans` spans each, and of as many bytes as a
    /// collector takes.
    pub(crate) fn new(parts: Vec<Part>, max_spans: usize) -> Self {
        Self {
            parts: parts.into_iter().peekable(),
            max_spans,
        }
    }

    /// The parts of the next request. One that is too large goes alone.
    pub(crate) fn next(&mut self) -> Option<Vec<Part>> {
        let first = self.parts.next()?;
        let Room {
            mut spans,
            mut bytes,
        } = first.written();
        let mut parts = vec![first];
        let fits = |spans: usize, bytes: usize| spans <= self.max_spans && bytes <= REQUEST_BYTES;
        while let Some(next) = self
            .parts
            .next_if(|next| fits(spans + next.spans, bytes + next.written().bytes))
        {
            spans += next.spans;
            bytes += next.written().bytes;
            parts.push(next);
        }
        Some(parts)
    }
}

/// Sends spans.
pub(crate) struct SpanExporter {
    destination: Destination,
    resource: EncodedResource,
}

impl SpanExporter {
    pub(crate) fn new(destination: Destination, resource: &Resource) -> Self {
        Self {
            destination,
            resource: EncodedResource::new(resource),
        }
    }

    /// One request of these parts.
    pub(crate) fn request(&self, parts: &[Part]) -> EncodedTraces {
        EncodedTraces {
            spans: parts.iter().map(|part| part.spans as u64).sum(),
            message: self.resource.request(parts),
        }
    }

    /// Sends parts as one request, and gives back their room afterwards.
    pub(crate) async fn export(&self, queue: &SpanQueue, parts: Vec<Part>) {
        let room = Room {
            spans: parts.iter().map(|part| part.spans).sum(),
            bytes: parts.iter().map(|part| part.held().bytes).sum(),
        };
        let request = self.request(&parts);
        for part in parts {
            queue.reuse(part.bytes);
        }
        self.destination.send_spans(request).await;
        queue.give_back(room);
    }
}

/// The fields of a `ResourceSpans` that are the same in each.
struct EncodedResource {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl EncodedResource {
    fn new(resource: &Resource) -> Self {
        let converted = ResourceAttributesWithSchema::from(resource);
        let message = ResourceMessage {
            attributes: converted.attributes.0,
            ..ResourceMessage::default()
        };
        Self {
            before: field(1, &message.encode_to_vec()),
            after: text_field(3, converted.schema_url.as_deref()),
        }
    }

    /// An `ExportTraceServiceRequest` of these spans, below their libraries.
    fn request(&self, parts: &[Part]) -> Bytes {
        let mut libraries: Vec<Library<'_>> = Vec::new();
        let mut known = HashMap::new();
        for part in parts {
            let at = *known.entry(&part.scope).or_insert_with(|| {
                libraries.push(Library::new(&part.scope));
                libraries.len() - 1
            });
            libraries[at].spans.push(&part.bytes);
        }
        let lengths: Vec<_> = libraries.iter().map(Library::length).collect();
        let inner = self.before.len()
            + lengths.iter().map(|it| bytes_field(2, *it)).sum::<usize>()
            + self.after.len();
        let mut out = Vec::with_capacity(bytes_field(1, inner));
        put_header(1, inner, &mut out);
        out.extend_from_slice(&self.before);
        for (library, length) in libraries.iter().zip(lengths) {
            put_header(2, length, &mut out);
            out.extend_from_slice(&library.before);
            for spans in &library.spans {
                out.extend_from_slice(spans);
            }
            out.extend_from_slice(&library.after);
        }
        out.extend_from_slice(&self.after);
        out.into()
    }
}

/// A `ScopeSpans` in the making.
struct Library<'a> {
    before: Vec<u8>,
    spans: Vec<&'a [u8]>,
    after: Vec<u8>,
}

impl Library<'_> {
    fn new(scope: &InstrumentationScope) -> Self {
        let message = proto::InstrumentationScope::from((scope, None));
        Self {
            before: field(1, &message.encode_to_vec()),
            spans: Vec::new(),
            after: text_field(3, scope.schema_url()),
        }
    }

    fn length(&self) -> usize {
        let spans: usize = self.spans.iter().map(|spans| spans.len()).sum();
        self.before.len() + spans + self.after.len()
    }
}

fn field(number: u32, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes_field(number, message.len()));
    put_header(number, message.len(), &mut out);
    out.extend_from_slice(message);
    out
}

fn text_field(number: u32, text: Option<&str>) -> Vec<u8> {
    match text {
        None | Some("") => Vec::new(),
        Some(text) => field(number, text.as_bytes()),
    }
}
