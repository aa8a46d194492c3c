//! Saying too much: spans, attributes, logs, lines, series.

use std::hint::black_box;
use std::io::Write;

use fanlight_guest::bindings::fanlight::telemetry::tracing;
use fanlight_guest::{
    Attribute, Exception, InstrumentError, LogRecord, Response, Severity, Span, SpanContext,
    SpanKind, TraceFlags, attributes, counter, histogram,
};

/// Starts and ends spans one after the other, each with an attribute.
pub(crate) fn spans(count: u64, bytes: usize) -> Response {
    let text = "x".repeat(bytes);
    for _ in 0..count {
        Span::builder("one_of_many")
            .attribute("text", text.as_str())
            .start()
            .end();
    }
    Response::text("told\n")
}

/// Starts and ends spans one after the other, each with a list of so many
/// numbers that are long on the wire.
pub(crate) fn lists(count: u64, elements: usize) -> Response {
    let list = vec![i64::MIN; elements];
    for _ in 0..count {
        Span::builder("with_a_list")
            .attribute("list", &list)
            .start()
            .end();
    }
    Response::text("told\n")
}

/// Says numbers that are not finite, and adds finite ones up to more than there is.
pub(crate) fn not_finite() -> Response {
    let attributes = attributes![
        "nan" = f64::NAN,
        "infinite" = f64::INFINITY,
        "negative" = f64::NEG_INFINITY,
        "list" = [0.5, f64::INFINITY],
    ];
    let span = Span::builder("not_finite").start();
    span.set_attributes(&attributes);
    span.end();
    LogRecord::new(Severity::Info, "not finite")
        .attributes(attributes)
        .emit();
    let added = || -> Result<(), InstrumentError> {
        let sum = counter("not_finite.sum").f64()?;
        let distribution = histogram("not_finite.distribution").f64()?;
        for _ in 0..2 {
            sum.add(f64::MAX, &[]);
            distribution.record(f64::MAX, &[]);
        }
        Ok(())
    };
    match added() {
        Ok(()) => Response::text("told\n"),
        Err(error) => Response::text(format!("{error}\n")).status(500),
    }
}

/// Keeps spans open, each with events full of attributes.
pub(crate) fn open_spans(count: u64, events: u64, bytes: usize) -> Response {
    let text = "x".repeat(bytes);
    let keys: Vec<String> = (0..16).map(|n| format!("key.{n}")).collect();
    let attributes: Vec<_> = keys
        .iter()
        .map(|key| Attribute::new(key, text.as_str()))
        .collect();
    let spans: Vec<Span> = (0..count)
        .map(|_| Span::builder("stays_open").start())
        .collect();
    for _ in 0..events {
        for span in &spans {
            span.add_event("said", &attributes);
        }
    }
    drop(spans);
    Response::text("told\n")
}

/// Holds handles of spans, each below a context with a long trace state.
pub(crate) fn handles(count: u64, state_bytes: usize) -> Response {
    let parent = SpanContext {
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        span_id: "b7ad6b7169203331".into(),
        trace_flags: TraceFlags::SAMPLED,
        trace_state: trace_state(state_bytes),
        is_remote: true,
    };
    let handles: Vec<Span> = (0..count)
        .map(|_| Span::builder("held").parent(&parent).start())
        .collect();
    Response::text(format!("{}\n", handles.len()))
}

/// Up to 32 members, as long as that takes.
fn trace_state(bytes: usize) -> String {
    if bytes == 0 {
        return String::new();
    }
    let members = (0..32).map(|n| format!("k{n}={}", "v".repeat((bytes / 32).max(6) - 5)));
    members.collect::<Vec<_>>().join(",")
}

/// Enters one span many times, and leaves in the order of entering.
pub(crate) fn scopes(count: u64) -> Response {
    let options = tracing::SpanOptions {
        kind: SpanKind::Internal,
        attributes: &[],
        links: &[],
        parent: tracing::SpanParent::Current,
        start_time: None,
        scope: None,
    };
    let span = tracing::Span::start("entered_often", options);
    let scopes: Vec<_> = (0..count).map(|_| span.enter()).collect();
    for scope in scopes {
        drop(scope);
    }
    Response::text("left\n")
}

/// Records exceptions from deep down.
pub(crate) fn exceptions(count: u64, depth: u64) -> Response {
    let span = Span::builder("exceptional").start();
    doubling(&span, count, depth);
    Response::text("recorded\n")
}

/// Has a name that stands for gigabytes: each part of it refers twice to the one before.
#[expect(unsafe_code, reason = "nothing else has this name")]
#[unsafe(export_name = "_Z1fPFviiEPFvS0_S0_EPFvS2_S2_EPFvS4_S4_EPFvS6_S6_EPFvS8_S8_EPFvSA_SA_EPFvSC_SC_EPFvSE_SE_EPFvSG_SG_EPFvSI_SI_EPFvSK_SK_EPFvSM_SM_EPFvSO_SO_EPFvSQ_SQ_EPFvSS_SS_ESU_SU_SU_SU_SU_SU_SU_SU")]
#[inline(never)]
fn doubling(span: &Span, count: u64, depth: u64) -> u64 {
    if depth > 0 {
        return black_box(doubling(span, count, black_box(depth - 1))) + 1;
    }
    for _ in 0..count {
        span.record_exception(Exception::new("Flood", "again"));
    }
    0
}

/// Emits log records.
pub(crate) fn logs(count: u64, bytes: usize) -> Response {
    let text = "x".repeat(bytes);
    for _ in 0..count {
        LogRecord::new(Severity::Info, text.as_str()).emit();
    }
    Response::text("logged\n")
}

/// Prints that many bytes to both streams, in lines.
pub(crate) fn print(bytes: u64) -> Response {
    let line = [&b"x".repeat(1023)[..], b"\n"].concat();
    let mut printed = 0;
    while printed < bytes {
        // Nobody reads is no reason to stop here.
        std::io::stdout().write_all(&line).ok();
        std::io::stderr().write_all(&line).ok();
        printed += line.len() as u64;
    }
    Response::text("printed\n")
}

/// Adds to one counter with as many sets of attributes.
pub(crate) fn series(count: u64, bytes: usize) -> Response {
    let text = "x".repeat(bytes);
    match counter("flood.series").u64() {
        Ok(counter) => {
            for n in 0..count {
                let value = i64::try_from(n).unwrap_or(0);
                counter.add(1, &attributes!["n" = value, "text" = text.as_str()]);
            }
            Response::text("counted\n")
        }
        Err(error) => Response::text(format!("{error}\n")).status(500),
    }
}

/// Opens instruments until one is refused; answers how many were not.
pub(crate) fn instruments(count: u64) -> Response {
    let opened = (0..count)
        .take_while(|n| counter(&format!("flood.instrument.{n}")).u64().is_ok())
        .count();
    Response::text(format!("{opened}\n"))
}
