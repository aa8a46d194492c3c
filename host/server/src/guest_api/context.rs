//! The telemetry of one request: what its guest's handles stand for.

use std::sync::Arc;

use http::{HeaderMap, Request};
use opentelemetry::trace::SpanContext;
use wasmtime::component::{HasData, ResourceTable};

use crate::guest_api::budget::TelemetryBudget;
use crate::guest_api::current_span::CurrentSpan;
use crate::guest_api::open_spans::{GuestSpans, SpansEnded};
use crate::guest_api::signals::GuestSignals;
use crate::guest_api::stdio::{GuestStdio, StdioShared, Stream};
use crate::guest_api::wasi_otel::completed_spans::CompletedSpans;
use crate::guest_api::wasi_otel::exported::Exported;
use crate::request::client_span::ClientSpan;
use crate::request::context::RequestContext;

/// The telemetry of one request: what the guest's handles stand for.
pub(crate) struct GuestTelemetry {
    pub(crate) signals: Arc<GuestSignals>,
    pub(crate) request: RequestContext,
    pub(crate) current: Arc<CurrentSpan>,
    pub(crate) spans: GuestSpans,
    pub(crate) made: CompletedSpans,
    pub(crate) exported: Exported,
    pub(crate) stdio: Arc<StdioShared>,
}

impl GuestTelemetry {
    pub(crate) fn new(signals: Arc<GuestSignals>, request: RequestContext) -> Self {
        let current = Arc::new(CurrentSpan::new(request.span().shared_context()));
        let stdio = StdioShared::new(Arc::clone(&signals), Arc::clone(&current), request.clock());
        Self {
            spans: GuestSpans::new(signals.limits.spans, Arc::clone(request.usage())),
            made: CompletedSpans::default(),
            exported: Exported::default(),
            stdio: Arc::new(stdio),
            signals,
            request,
            current,
        }
    }

    /// The bytes that the guest may still leave here.
    pub(crate) fn room(&self) -> &TelemetryBudget {
        self.stdio.room()
    }

    /// A stream for what the guest prints.
    pub(crate) fn stdio(&self, stream: Stream) -> GuestStdio {
        GuestStdio::new(Arc::clone(&self.stdio), stream)
    }

    /// The tail of what the guest wrote to stderr: a panic's message is there.
    pub(crate) fn stderr_tail(&self) -> String {
        self.stdio.stderr_tail()
    }

    pub(crate) fn request(&self) -> &RequestContext {
        &self.request
    }

    /// The context for requests that the guest sends.
    pub(crate) fn onward(&self) -> OutboundContext {
        OutboundContext {
            request: self.request.clone(),
            current: Arc::clone(&self.current),
        }
    }

    /// Ends what the guest left open, with the reason. A second call finds nothing.
    pub(crate) fn finish(&mut self, why: SpansEnded) {
        self.stdio.finish();
        let made = self.end_made_spans(why);
        self.spans.end_all(why, made, &self.request);
    }
}

impl Drop for GuestTelemetry {
    /// A guest that is dropped where it stands was cut off: by its deadline, or
    /// because its client left.
    fn drop(&mut self) {
        let why = SpansEnded::CutOff(self.request.span().why_cut_off());
        self.finish(why);
    }
}

/// The telemetry of the calls that one request's guest makes.
pub(crate) struct OutboundContext {
    request: RequestContext,
    current: Arc<CurrentSpan>,
}

impl OutboundContext {
    /// Starts the client span of a call, below the guest's current span.
    pub(crate) fn start_call<B>(&self, call: &Request<B>, resends: u32) -> ClientSpan {
        ClientSpan::start(&self.request, &self.current.context(), call, resends)
    }

    /// Writes the headers of the trace: the call's span is the caller. What the guest
    /// has set under their names is gone.
    pub(crate) fn propagate(&self, caller: &SpanContext, headers: &mut HeaderMap) {
        self.request.propagate(caller, headers);
    }

    /// Counts a call without a span.
    pub(crate) fn lose_span(&self) {
        self.request.usage().drop_span();
    }
}

/// A request's telemetry and the table of its guest's handles, borrowed for a call.
pub(crate) struct GuestTelemetryView<'a> {
    pub(crate) telemetry: &'a mut GuestTelemetry,
    pub(crate) table: &'a mut ResourceTable,
}

/// Marks the view in the linker.
pub(crate) struct TelemetryImports;

impl HasData for TelemetryImports {
    type Data<'a> = GuestTelemetryView<'a>;
}
