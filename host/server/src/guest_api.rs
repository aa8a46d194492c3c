//! The guest's side of telemetry: `fanlight:telemetry` as the guest calls it,
//! and `wasi:otel`, the second door.
//!
//! Converts, bounds and stores. Nothing here waits for export, trusts a length, or
//! panics on a guest's input. Knows no hyper and no component.

pub(crate) mod attributes;
#[cfg(any(test, feature = "benchmarks"))]
pub(crate) mod benchmarks;
pub(crate) mod budget;
pub(crate) mod contexts;
pub(crate) mod convert;
pub(crate) mod current_span;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod instruments;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod open_spans;
pub(crate) mod stdio;
pub(crate) mod tracing;
pub(crate) mod wasi_otel;

use std::sync::Arc;

use http::HeaderMap;
use opentelemetry::InstrumentationScope;
use wasmtime::component::{HasData, Linker, ResourceTable};

use crate::guest_api::budget::TelemetryBudget;
use crate::guest_api::current_span::CurrentSpan;
use crate::guest_api::instruments::registry::Instruments;
use crate::guest_api::logs::GuestLogs;
use crate::guest_api::open_spans::GuestSpans;
pub(crate) use crate::guest_api::open_spans::SpansEnded;
pub(crate) use crate::guest_api::stdio::{GuestStdio, Stream};
use crate::guest_api::wasi_otel::{CompletedSpans, Exported};
use crate::request::server_span::ServerSpan;
use fanlight_telemetry::trace::limits::{AttributeLimits, SpanLimits};
use fanlight_telemetry::trace::tracer::Tracer;
use fanlight_telemetry::{Dropped, GUEST_SCOPE, HOST_SCOPE, Telemetry};

pub(crate) mod bindings {
    //! What `wasmtime` makes of the WIT.
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]

    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package fanlight:host;

            world imports {
                import fanlight:telemetry/tracing@0.1.0;
                import fanlight:telemetry/metrics@0.1.0;
                import fanlight:telemetry/logs@0.1.0;
            }
        ",
        world: "fanlight:host/imports",
        imports: {
            // These two look at the guest's stack.
            "fanlight:telemetry/tracing.[method]span.record-exception": store | trappable,
            "fanlight:telemetry/tracing.record-server-exception": store | trappable,
            default: trappable,
        },
        with: {
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "fanlight:telemetry/tracing.span": crate::guest_api::open_spans::SpanHandle,
            "fanlight:telemetry/tracing.scope": crate::guest_api::current_span::ScopeHandle,
            "fanlight:telemetry/metrics.counter-u64": crate::guest_api::metrics::handles::CounterU64,
            "fanlight:telemetry/metrics.counter-f64": crate::guest_api::metrics::handles::CounterF64,
            "fanlight:telemetry/metrics.up-down-counter-s64": crate::guest_api::metrics::handles::UpDownCounterS64,
            "fanlight:telemetry/metrics.up-down-counter-f64": crate::guest_api::metrics::handles::UpDownCounterF64,
            "fanlight:telemetry/metrics.histogram": crate::guest_api::metrics::handles::HistogramF64,
            "fanlight:telemetry/metrics.gauge-s64": crate::guest_api::metrics::handles::GaugeS64,
            "fanlight:telemetry/metrics.gauge-f64": crate::guest_api::metrics::handles::GaugeF64,
        },
    });
}

/// Bounds on what one request of a guest, and all of them together, may say.
#[derive(Clone, Copy, Debug)]
pub struct GuestLimits {
    /// Spans a request; over it `start` gives spans that record nothing.
    pub spans: usize,
    /// Log records and lines on stdout and stderr, a request.
    pub log_records: usize,
    /// Bytes of spans, attributes, events, links and log records, a request.
    pub telemetry_bytes: usize,
    /// Instruments of all guests together.
    pub instruments: usize,
    /// Series of all instruments of all guests together: an instrument has one
    /// for each set of attributes.
    pub series: usize,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            spans: 1_000,
            log_records: 1_000,
            telemetry_bytes: 8 * 1024 * 1024,
            instruments: 1_000,
            series: 10_000,
        }
    }
}

/// What the telemetry of all requests has in common.
pub(crate) struct GuestSignals {
    tracer: Tracer,
    instruments: Instruments,
    logs: GuestLogs,
    log_limits: AttributeLimits,
    limits: GuestLimits,
}

impl GuestSignals {
    pub(crate) fn new(telemetry: &Telemetry, limits: GuestLimits) -> Self {
        let tracer = telemetry.tracer().clone();
        let dropped = Arc::clone(tracer.dropped());
        Self {
            instruments: Instruments::new(
                telemetry.meter_provider().clone(),
                Arc::clone(telemetry.guest_metrics()),
                &limits,
                Arc::clone(&dropped),
            ),
            logs: GuestLogs::new(telemetry.logger_provider().clone()),
            log_limits: telemetry.log_limits(),
            tracer,
            limits,
        }
    }

    fn span_limits(&self) -> &SpanLimits {
        self.tracer.limits()
    }

    fn dropped(&self) -> &Dropped {
        self.tracer.dropped()
    }
}

/// The telemetry of one request: what the guest's handles stand for.
pub(crate) struct GuestTelemetry {
    signals: Arc<GuestSignals>,
    server: ServerSpan,
    current: Arc<CurrentSpan>,
    spans: GuestSpans,
    made: CompletedSpans,
    exported: Exported,
    stdio: Arc<crate::guest_api::stdio::StdioShared>,
}

impl GuestTelemetry {
    pub(crate) fn new(signals: Arc<GuestSignals>, server: ServerSpan) -> Self {
        let current = Arc::new(CurrentSpan::new(server.shared_context()));
        let stdio = crate::guest_api::stdio::StdioShared::new(
            Arc::clone(&signals),
            Arc::clone(&current),
            server.clock(),
        );
        Self {
            spans: GuestSpans::new(signals.limits.spans, Arc::clone(server.usage())),
            made: CompletedSpans::default(),
            exported: Exported::default(),
            stdio: Arc::new(stdio),
            signals,
            server,
            current,
        }
    }

    /// The bytes that the guest may still leave here.
    fn room(&self) -> &TelemetryBudget {
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

    pub(crate) fn server_span(&self) -> &ServerSpan {
        &self.server
    }

    /// The context for requests that the guest sends.
    pub(crate) fn onward(&self) -> OutboundContext {
        OutboundContext {
            server: self.server.clone(),
            current: Arc::clone(&self.current),
        }
    }

    /// Ends what the guest left open, with the reason. A second call finds nothing.
    pub(crate) fn finish(&mut self, why: SpansEnded) {
        self.stdio.finish();
        let made = self.end_made_spans(why);
        self.spans.end_all(why, made, &self.server);
    }
}

impl Drop for GuestTelemetry {
    /// A guest that is dropped where it stands was cut off: by its deadline, or
    /// because its client left.
    fn drop(&mut self) {
        let why = SpansEnded::CutOff(self.server.why_cut_off());
        self.finish(why);
    }
}

/// Writes a request's trace into the headers of requests that its guest sends.
pub(crate) struct OutboundContext {
    server: ServerSpan,
    current: Arc<CurrentSpan>,
}

impl OutboundContext {
    /// Writes the headers of the trace: the guest's current span is the caller.
    /// What the guest has set under their names is gone.
    pub(crate) fn propagate(&self, headers: &mut HeaderMap) {
        self.server.propagate(&self.current.context(), headers);
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

/// Adds the interfaces of both doors to a linker.
///
/// # Errors
/// Where one of them is there already.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> GuestTelemetryView<'_>,
) -> wasmtime::Result<()> {
    use bindings::fanlight::telemetry;
    telemetry::tracing::add_to_linker::<T, TelemetryImports>(linker, view)?;
    telemetry::metrics::add_to_linker::<T, TelemetryImports>(linker, view)?;
    telemetry::logs::add_to_linker::<T, TelemetryImports>(linker, view)?;
    crate::guest_api::wasi_otel::add_to_linker(linker, view)
}

/// The SDK's own name for what is over its bound on series.
const OVERFLOW: &str = "otel.metric.overflow";

/// The longest name or version of a library, in bytes.
const MAX_SCOPE: usize = 255;

/// The scope that a guest names, or the guest's own.
fn scope(
    named: Option<bindings::fanlight::telemetry::types::InstrumentationScope>,
) -> InstrumentationScope {
    // The host's own name is not a guest's to speak by: it would add to the
    // host's own instruments.
    let Some(named) = named.filter(|named| named.name != HOST_SCOPE) else {
        return InstrumentationScope::builder(GUEST_SCOPE).build();
    };
    let scope =
        InstrumentationScope::builder(crate::guest_api::attributes::cut(named.name, MAX_SCOPE));
    match named.version {
        Some(version) => scope
            .with_version(crate::guest_api::attributes::cut(version, MAX_SCOPE))
            .build(),
        None => scope.build(),
    }
}
