//! Log records: those of all traces, and those of one.

use maud::{Markup, html};
use serde_json::{Value, json};

use crate::jaeger;
use crate::model::{LogModel, TraceModel, sorted};
use crate::otlp_json;
use crate::pages::format;
use crate::pages::layout::{Context, Page, View, command, layout};
use crate::params::Params;
use crate::query::LogSearch;
use crate::store::Store;
use crate::value;

/// Records of a page.
const PAGE: usize = 200;
/// Records of the page of a trace.
const MAX_OF_TRACE: usize = 1000;
/// Records of one answer to a program, unless it asks for another number, and the most.
const DEFAULT_OF_ANSWER: usize = 1000;
const MAX_OF_ANSWER: usize = 20_000;

/// Severities that records can be narrowed to.
const SEVERITIES: [(i32, &str); 5] = [
    (1, "trace"),
    (5, "debug"),
    (9, "info"),
    (13, "warn"),
    (17, "error"),
];

pub(crate) fn page(context: &Context<'_>) -> Page {
    let params = context.params;
    let severity = params.text("severity");
    let least = SEVERITIES
        .iter()
        .find(|it| it.1 == severity)
        .map_or(0, |it| it.0);
    let search = LogSearch {
        severity: least,
        text: params.text("q").to_owned(),
        trace_id: None,
        since: 0,
        before: params.number("before"),
        limit: PAGE,
    };
    let (found, has_more) = search.run(context.store);
    let is_empty = context.store.counts().logs == 0;
    let events = match search.before {
        None => "logs cleared",
        Some(_) => "cleared",
    };
    let main = html! {
        h1.hidden { "Logs" }
        @if is_empty {
            div #nothing.empty data-live {
                h2 { "No log record yet" }
                p { "What the component prints, and what it logs, appears here. Send it a request:" }
                (command(&format!("curl -i {}/", context.host.serving_url())))
            }
        } @else {
            div.toolbar {
                form #filters.search method="get" action="/ui/logs" role="search" {
                    label.hidden for="severity" { "Least severity" }
                    select #severity name="severity" {
                        option value="" { "all" }
                        @for (_, name) in SEVERITIES {
                            option value=(name) selected[name == severity] { (name) " and above" }
                        }
                    }
                    label.hidden for="q" { "Search in log records" }
                    input #q type="search" name="q" value=(params.text("q")) autocomplete="off"
                        placeholder="Search bodies and attributes" aria-keyshortcuts="/";
                    button type="submit" { "Search" }
                }
                span.spring {}
                button #pause type="button" aria-pressed="false" hidden { "Pause" }
            }
            div #rows.logs data-live data-rows {
                @for log in &found { (record(log, None, true)) }
                @if found.is_empty() { p.empty #no-logs { "No log record matches." } }
            }
            nav #pages.pages data-live aria-label="Pages" {
                @if search.before.is_some() {
                    a href=(params.with(&[("before", "")]).link("/ui/logs")) { "← Newest page" }
                }
                @if let Some(last) = found.iter().map(|it| it.seq).min().filter(|_| has_more) {
                    a rel="next" href=(params.with(&[("before", &last.to_string())]).link("/ui/logs")) {
                        "Next page →"
                    }
                }
            }
        }
    };
    layout(View::Logs, "Logs", events, context, main)
}

/// The same records for programs, the oldest first: the newest `limit` of those after the
/// record `since`. `more` says whether there are others; `store` changes with each start
/// of the host, which numbers its records anew.
pub(crate) fn json(params: &Params, store: &Store) -> Value {
    let severity = params.text("severity");
    let search = LogSearch {
        severity: SEVERITIES
            .iter()
            .find(|it| it.1 == severity)
            .map_or(0, |it| it.0),
        text: params.text("q").to_owned(),
        trace_id: jaeger::trace_id(params.text("trace")).filter(|it| *it != 0),
        since: params.number("since").unwrap_or(0),
        before: None,
        limit: params
            .number("limit")
            .and_then(|it| usize::try_from(it).ok())
            .map_or(DEFAULT_OF_ANSWER, |it| it.min(MAX_OF_ANSWER)),
    };
    let (mut found, has_more) = search.run(store);
    found.reverse();
    let last = found.iter().map(|it| it.seq).max().unwrap_or(search.since);
    let records: Vec<_> = found.iter().map(otlp_json::log).collect();
    let id = format!("{:016x}", store.id);
    json!({"logRecords": records, "last": last, "more": has_more, "store": id})
}

/// The records of a trace, by their time.
pub(crate) fn of_trace(model: &TraceModel) -> Markup {
    html! {
        @if model.logs.is_empty() {
            div.empty { p { "This trace has no log record." } }
        }
        (short(model.logs.iter().take(MAX_OF_TRACE), model.start))
    }
}

/// Records with the time since a moment.
pub(crate) fn short<'a>(logs: impl Iterator<Item = &'a LogModel>, since: u64) -> Markup {
    html! {
        div.logs { @for log in logs { (record(log, Some(since), false)) } }
    }
}

fn record(log: &LogModel, since: Option<u64>, is_linked: bool) -> Markup {
    let attributes = sorted(&log.record.attributes);
    let (trace, span) = (
        format!("{:032x}", log.trace_id),
        format!("{:016x}", log.span_id),
    );
    html! {
        div.log id=(format!("l-{}", log.seq)) data-row .failed[log.severity >= 17] {
            span.when.number {
                @match since {
                    Some(since) => { "+" (format::duration(log.time.saturating_sub(since))) }
                    None => (format::time(log.time)),
                }
            }
            span class=(format!("severity {}", severity(log.severity))) { (severity(log.severity)) }
            div.body {
                @if !log.record.event_name.is_empty() { strong { (log.record.event_name) } " " }
                span.value { (log.body()) }
                @for it in attributes.iter().take(20) {
                    " " span.pair { (it.key) "=" span.value { (value::text(it.value.as_ref())) } }
                }
            }
            @if is_linked && log.trace_id != 0 {
                a.to-trace href=(format!("/ui/trace/{trace}?span={span}#s-{span}"))
                    aria-label=(format!("Trace {trace}")) { "trace" }
            }
        }
    }
}

/// The name of a severity's range, as the specification has them.
fn severity(number: i32) -> &'static str {
    match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => "–",
    }
}
