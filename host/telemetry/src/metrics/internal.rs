//! The metrics about telemetry itself: what left, what was lost, what waits.

use std::sync::Arc;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::export::counters::{Dropped, SignalCounts};
use crate::logs::exporter::ScopedLogRecord;
use crate::logs::queue::ExportQueue;
use crate::scope::HOST_SCOPE;
use crate::trace::queue::SpanQueue;

/// Registers them.
pub(crate) fn observe(
    meters: &SdkMeterProvider,
    counts: SignalCounts,
    dropped: &Arc<Dropped>,
    spans: &Arc<SpanQueue>,
    records: &Arc<ExportQueue<ScopedLogRecord>>,
) {
    let meter = meters.meter_with_scope(InstrumentationScope::builder(HOST_SCOPE).build());
    let signals = move || {
        [
            ("traces", Arc::clone(&counts.traces)),
            ("metrics", Arc::clone(&counts.metrics)),
            ("logs", Arc::clone(&counts.logs)),
        ]
    };
    let exported = signals.clone();
    meter
        .u64_observable_counter("fanlight.telemetry.exported")
        .with_unit("{item}")
        .with_description("Spans, points of metrics and log records that a backend took")
        .with_callback(move |observer| {
            for (signal, counts) in exported() {
                observer.observe(counts.total(), &[KeyValue::new("signal", signal)]);
            }
        })
        .build();
    meter
        .u64_observable_counter("fanlight.telemetry.lost")
        .with_unit("{item}")
        .with_description(
            "Spans, points of metrics and log records that were not exported, by reason",
        )
        .with_callback(move |observer| {
            for (signal, counts) in signals() {
                for (reason, count) in counts.losses() {
                    let attributes = [
                        KeyValue::new("signal", signal),
                        KeyValue::new("reason", reason),
                    ];
                    observer.observe(count, &attributes);
                }
            }
        })
        .build();
    let dropped = Arc::clone(dropped);
    meter
        .u64_observable_counter("fanlight.telemetry.dropped")
        .with_unit("{item}")
        .with_description("What guests said over their bounds, by kind of item")
        .with_callback(move |observer| {
            for (item, count) in dropped.read() {
                observer.observe(count, &[KeyValue::new("item", item)]);
            }
        })
        .build();
    let (spans, records) = (Arc::clone(spans), Arc::clone(records));
    meter
        .u64_observable_gauge("fanlight.telemetry.queue.length")
        .with_unit("{item}")
        .with_description("Spans and log records that wait for export or are under way")
        .with_callback(move |observer| {
            observer.observe(spans.len() as u64, &[KeyValue::new("signal", "traces")]);
            observer.observe(records.len() as u64, &[KeyValue::new("signal", "logs")]);
        })
        .build();
}
