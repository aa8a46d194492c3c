//! Reads and writes the headers that carry a trace from service to service:
//! `OTEL_PROPAGATORS`.
//!
//! Each format is read strictly: a header that breaks a rule is ignored, and never
//! half read. The caller that a request's headers name is a value that stays with the
//! request. Knows headers, nothing of spans.

pub(crate) mod b3;
pub mod baggage;
pub(crate) mod caller;
pub(crate) mod header;
pub(crate) mod ids;
#[cfg(test)]
mod tests;
pub mod trace_context;
pub mod trace_state;

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use opentelemetry::trace::SpanContext;

use crate::propagation::baggage::Baggage;
pub use crate::propagation::caller::Caller;
use crate::propagation::caller::Found;
pub use crate::propagation::caller::RANDOM;
pub use crate::propagation::ids::bytes_of;
pub use crate::propagation::trace_context::format_traceparent;
pub use crate::propagation::trace_state::tracestate;

/// The name of the response header that tells a client its trace.
pub static TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The formats in use, in the order in which they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagators(Arc<[Propagator]>);

/// One format: what it reads, and what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagator {
    TraceContext,
    Baggage,
    B3,
    B3Multi,
}

/// The trace that a request belongs to, by its headers.
#[derive(Debug, Default, PartialEq)]
pub struct Extracted {
    /// The caller that the headers name.
    pub caller: Caller,
    /// The context for requests that the guest sends.
    pub carried: PropagatedContext,
}

/// The context that a request passes on besides a span's.
#[derive(Debug, Default, PartialEq)]
pub struct PropagatedContext {
    /// The W3C Baggage that came in.
    pub baggage: Baggage,
    /// The caller wants this trace kept at any cost: B3 has a flag for it, which is
    /// handed on.
    pub debug: bool,
}

impl Default for Propagators {
    /// The specification's default: the W3C's two.
    fn default() -> Self {
        Self([Propagator::TraceContext, Propagator::Baggage].into())
    }
}

impl Propagators {
    /// Reads the value of `OTEL_PROPAGATORS`: names with commas between them.
    ///
    /// A name counts once, in upper or lower case. A name that is not supported is left
    /// out with a warning; if no name is left, the default is used.
    pub fn parse(text: Option<&str>, warnings: &mut Vec<String>) -> Self {
        let Some(text) = text else {
            return Self::default();
        };
        let mut list = Vec::new();
        let mut none = false;
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match Propagator::by_name(name) {
                Some(known) if list.contains(&known) => {}
                Some(known) => list.push(known),
                None if name.eq_ignore_ascii_case("none") => none = true,
                None => warnings.push(format!(
                    "OTEL_PROPAGATORS={name}: not supported; left out. Supported are tracecontext, \
                     baggage, b3, b3multi and none"
                )),
            }
        }
        match (none, list.is_empty()) {
            (false, true) => Self::default(),
            (true, false) => {
                let warning = "OTEL_PROPAGATORS: none beside others means nothing; left out";
                warnings.push(warning.to_owned());
                Self(list.into())
            }
            _ => Self(list.into()),
        }
    }

    /// Reads the caller from the headers.
    ///
    /// If several formats name a caller, the last one in the list counts: each format
    /// may replace or complete the caller that the formats before it found, and a
    /// format without a valid caller changes nothing. The baggage of all formats is
    /// joined.
    pub fn extract(&self, headers: &HeaderMap) -> Extracted {
        let mut extracted = Extracted::default();
        for propagator in self.0.iter() {
            let found = match propagator {
                Propagator::TraceContext => {
                    crate::propagation::trace_context::extract(headers).map(Found::span)
                }
                Propagator::Baggage => {
                    extracted.carried.baggage.add_header(headers);
                    None
                }
                // Both read both encodings, as the specification has it.
                Propagator::B3 | Propagator::B3Multi => crate::propagation::b3::extract(headers),
            };
            let Some(Found { caller, debug }) = found else {
                continue;
            };
            extracted.carried.debug |= debug;
            extracted.caller = extracted.caller.followed_by(caller);
        }
        // Debug implies sampling: it is ignored if the caller that counts is not
        // sampled.
        extracted.carried.debug &= extracted.caller.is_sampled();
        extracted
    }

    /// Names a span as the caller of an outgoing request, with the propagated context.
    ///
    /// All headers of the formats in the list are replaced. With an empty list, no
    /// header changes. A span that is not sampled is named with its flags, so that its
    /// trace stays unsampled.
    pub fn inject(
        &self,
        context: &SpanContext,
        carried: &PropagatedContext,
        headers: &mut HeaderMap,
    ) {
        for propagator in self.0.iter() {
            match propagator {
                Propagator::TraceContext => {
                    crate::propagation::trace_context::inject(context, headers)
                }
                Propagator::Baggage => carried.baggage.inject(headers),
                Propagator::B3 | Propagator::B3Multi => crate::propagation::b3::clear(headers),
            }
        }
        // Written after the last clearing: the two share their names.
        for propagator in self.0.iter() {
            match propagator {
                Propagator::B3 => {
                    crate::propagation::b3::inject_single(context, carried.debug, headers)
                }
                Propagator::B3Multi => {
                    crate::propagation::b3::inject_multi(context, carried.debug, headers)
                }
                _ => {}
            }
        }
    }
}

impl Propagator {
    /// The specification's names; case does not matter in any value of its kind.
    fn by_name(name: &str) -> Option<Self> {
        [
            ("tracecontext", Self::TraceContext),
            ("baggage", Self::Baggage),
            ("b3", Self::B3),
            ("b3multi", Self::B3Multi),
        ]
        .into_iter()
        .find_map(|(known, it)| known.eq_ignore_ascii_case(name).then_some(it))
    }
}
