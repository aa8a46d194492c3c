//! Spans of the host: host and guest change them, and the span queue takes them when
//! they end.
//!
//! The SDK's span appends an attribute whose key is set already, drops the latest
//! attributes at its limit, and lets `Ok` override a trap. These spans keep the last
//! value of each key.

pub(crate) mod attribute_index;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, Link, SpanContext, Status};
use opentelemetry_sdk::trace::SpanData;

use crate::export::counters::Dropped;
use crate::trace::limits::SpanLimits;
use crate::trace::queue::SpanQueue;
pub use crate::trace::span::attribute_index::AttributeIndex;

/// A span that has started and not ended yet.
///
/// The owner ends a span: one that is dropped without [`Span::end`] is lost.
pub struct Span {
    context: SpanContext,
    recording: Option<Box<Recording>>,
}

struct Recording {
    data: SpanData,
    /// Of the data's attributes.
    keys: AttributeIndex,
    pipeline: Arc<SpanPipeline>,
}

/// What a tracer's spans have in common: their bounds, and where they go.
pub(crate) struct SpanPipeline {
    pub(crate) limits: SpanLimits,
    /// Where ended spans wait for export.
    pub(crate) queue: Arc<SpanQueue>,
    /// Counts what is over the limits.
    pub(crate) dropped: Arc<Dropped>,
}

impl Span {
    /// A span that records in `data`, of which no attribute's key is there twice.
    pub(crate) fn recording(data: SpanData, pipeline: Arc<SpanPipeline>) -> Self {
        Self {
            context: data.span_context.clone(),
            recording: Some(Box::new(Recording {
                data,
                keys: AttributeIndex::default(),
                pipeline,
            })),
        }
    }

    /// A span that records nothing.
    pub(crate) fn non_recording(context: SpanContext) -> Self {
        Self {
            context,
            recording: None,
        }
    }

    /// The identity of the span.
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Whether the span records.
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// Gives the span another name.
    pub fn update_name(&mut self, name: Cow<'static, str>) {
        if let Some(recording) = &mut self.recording {
            recording.data.name = name;
        }
    }

    /// Sets an attribute within the limit; the last value of a key counts.
    pub fn set_attribute(&mut self, attribute: KeyValue) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        let limit = recording.pipeline.limits.attributes;
        let Recording {
            data,
            keys,
            pipeline,
        } = &mut **recording;
        if !keys.put(&mut data.attributes, attribute, limit) {
            data.dropped_attributes_count += 1;
            pipeline.dropped.attributes(1);
        }
    }

    /// Replaces all attributes, without a limit: for an owner that counts them itself.
    /// `dropped` is the number of attributes dropped since the start; those over the
    /// limit at the start are counted already.
    pub fn replace_attributes(&mut self, attributes: Vec<KeyValue>, dropped: u32) {
        if let Some(recording) = &mut self.recording {
            recording.keys = AttributeIndex::default();
            let data = &mut recording.data;
            data.attributes = attributes;
            data.dropped_attributes_count = data.dropped_attributes_count.saturating_add(dropped);
        }
    }

    /// Takes the attributes out, for an owner that keeps them until the end.
    pub fn take_attributes(&mut self) -> Vec<KeyValue> {
        match &mut self.recording {
            Some(recording) => {
                recording.keys = AttributeIndex::default();
                std::mem::take(&mut recording.data.attributes)
            }
            None => Vec::new(),
        }
    }

    /// Whether the span would keep an event, with room for `reserved` later ones; if
    /// not, counts it as dropped. Call it before an event is built, which may cost a
    /// walk of the guest's stack.
    pub fn takes_event(&mut self, reserved: usize) -> bool {
        let Some(recording) = &mut self.recording else {
            return false;
        };
        let limit = recording.pipeline.limits.events.saturating_sub(reserved);
        let takes = recording.data.events.events.len() < limit;
        if !takes {
            self.lose_event();
        }
        takes
    }

    /// Counts an event that was not kept.
    pub fn lose_event(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.data.events.dropped_count += 1;
            recording.pipeline.dropped.events(1);
        }
    }

    /// Adds an event within the limit, with room kept for `reserved` later ones.
    pub fn add_event(&mut self, event: Event, reserved: usize) {
        if self.takes_event(reserved)
            && let Some(recording) = &mut self.recording
        {
            recording.data.events.events.push(event);
        }
    }

    /// Counts a link that was not kept.
    pub fn lose_link(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.data.links.dropped_count += 1;
            recording.pipeline.dropped.links(1);
        }
    }

    /// Counts attributes that were not kept and are in the process's count already.
    pub fn lose_attributes(&mut self, count: u32) {
        if let Some(recording) = &mut self.recording {
            recording.data.dropped_attributes_count += count;
        }
    }

    /// Adds a link; over the limit it is dropped and counted.
    pub fn add_link(&mut self, link: Link) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        if recording.data.links.links.len() < recording.pipeline.limits.links {
            recording.data.links.links.push(link);
        } else {
            self.lose_link();
        }
    }

    /// Sets the status in the specification's order: `Ok` is final, `Unset` changes
    /// nothing.
    pub fn set_status(&mut self, status: Status) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        let current = &mut recording.data.status;
        match (&*current, &status) {
            (Status::Ok, _) | (_, Status::Unset) => {}
            _ => *current = status,
        }
    }

    /// Overrides the status, whatever it was.
    pub fn override_status(&mut self, status: Status) {
        if let Some(recording) = &mut self.recording {
            recording.data.status = status;
        }
    }

    /// Ends the span and queues it for export. A second end is ignored.
    pub fn end(&mut self, time: SystemTime) {
        let Some(recording) = self.recording.take() else {
            return;
        };
        let Recording {
            mut data, pipeline, ..
        } = *recording;
        // An end before the start comes from a guest's own clock.
        data.end_time = time.max(data.start_time);
        let over = pipeline.limits.enforce(&mut data);
        if over > 0 {
            pipeline.dropped.attributes(u64::from(over));
        }
        pipeline.queue.push(&data);
    }
}
