//! The list of traces, with its filters and the plot of their durations over time.

use std::sync::Arc;

use maud::{Markup, html};

use crate::pages::layout::{Context, Page, View, command, layout};
use crate::pages::{filters, format, scatter};
use crate::params::Params;
use crate::query::{Found, Order, Search};
use crate::store::StoreCounts;
use crate::store::summary::Summary;
use crate::store::traces::Trace;

pub(crate) fn page(context: &Context<'_>) -> Page {
    let search = filters::search(context.params);
    let mut matching = context.store.traces();
    matching.retain(|trace| search.matches(trace));
    let found = search.page(matching.clone());
    let counts = context.store.counts();
    let is_empty = counts.traces == 0;
    // An older page is not live: what it shows does not change.
    let events = match search.after {
        None => "traces cleared",
        Some(_) => "cleared",
    };
    let main = html! {
        h1.hidden { "Traces" }
        @if is_empty {
            (nothing_yet(context))
        } @else {
            (toolbar(context, &search, &found))
            // A script that asks for the next rows alone needs no plot.
            @if context.params.text("plot") != "off" {
                div #plot data-live { (scatter::plot(&plotted(&search, &matching).traces, context)) }
            }
            (list(context, &found))
        }
        @if !is_empty { div #store-note.note data-live { (note(&counts)) } }
    };
    layout(View::Traces, "Traces", events, context, main)
}

/// The traces of the plot, which are more than those of one page of the list.
fn plotted(search: &Search, matching: &[Arc<Trace>]) -> Found {
    let search = Search {
        limit: scatter::MAX_POINTS,
        after: None,
        ..search.clone()
    };
    search.page(matching.to_vec())
}

fn nothing_yet(context: &Context<'_>) -> Markup {
    let url = context.host.serving_url();
    html! {
        div #nothing.empty data-live {
            h2 { "No request yet" }
            p { "Send one, and its trace appears here:" }
            (command(&format!("curl -i {url}/")))
        }
    }
}

fn toolbar(context: &Context<'_>, search: &Search, found: &Found) -> Markup {
    let params = context.params;
    let (newest, slowest) = (
        params.with(&[("sort", ""), ("after", "")]).link("/"),
        params.with(&[("sort", "slowest"), ("after", "")]).link("/"),
    );
    let is_slowest = search.order == Order::Slowest;
    html! {
        div.toolbar {
            form #filters.search method="get" action="/" role="search" {
                label.hidden for="q" { "Search in all spans" }
                input #q type="search" name="q" value=(params.text("q")) autocomplete="off"
                    placeholder="Search names, attributes, events, ids" aria-keyshortcuts="/";
                @for key in ["service", "op", "attr", "from", "to", "max"] {
                    @for value in params.all(key).filter(|it| !it.is_empty()) {
                        input type="hidden" name=(key) value=(value);
                    }
                }
                @if is_slowest { input type="hidden" name="sort" value="slowest"; }
                button type="submit" { "Search" }
            }
            div.choice role="group" aria-label="Order" {
                a href=(newest) aria-current=[(!is_slowest).then_some("true")] { "Newest" }
                a href=(slowest) aria-current=[is_slowest.then_some("true")] { "Slowest" }
            }
            span.spring {}
            span #total.muted.number data-live { (format::counted(found.total as u64, "trace")) }
            button #pause type="button" aria-pressed="false" hidden { "Pause" }
            form method="post" action="/ui/clear" {
                button type="submit" title="Forget all traces and log records" { "Clear" }
            }
        }
        (chips(params))
    }
}

/// What narrows the search beside the fields of the columns.
fn chips(params: &Params) -> Markup {
    let chip = |key: &str, name: &str, value: &str| {
        let without = params.with(&[(key, ""), ("after", "")]).link("/");
        html! {
            a.chip href=(without) title="Remove this filter" {
                span.muted { (name) } " " (value) span.cross aria-hidden="true" { "×" }
            }
        }
    };
    let named = [
        ("service", "service"),
        ("op", "span"),
        ("attr", "attribute"),
        ("from", "from"),
        ("to", "until"),
        ("max", "at most"),
    ];
    html! {
        div.chips {
            @for (key, name) in named {
                @for value in params.all(key).filter(|it| !it.is_empty()) {
                    (chip(key, name, value))
                }
            }
        }
    }
}

fn list(context: &Context<'_>, found: &Found) -> Markup {
    let params = context.params;
    let field = |key: &str, label: &str, hint: &str| {
        html! {
            input type="text" form="filters" name=(key) value=(params.text(key))
                aria-label=(label) placeholder=(hint) autocomplete="off" spellcheck="false";
        }
    };
    let status = params.text("status");
    let statuses = [
        ("", "any"),
        ("ok", "ok"),
        ("error", "error"),
        ("2xx", "2xx"),
        ("3xx", "3xx"),
        ("4xx", "4xx"),
        ("5xx", "5xx"),
    ];
    html! {
        div.scroll {
            table.traces {
                thead {
                    tr {
                        th scope="col" { "Status" }
                        th scope="col" { "Method" }
                        th scope="col" { "Route" }
                        th.number scope="col" { "Duration" }
                        th.number scope="col" { "Spans" }
                        th scope="col" { "Version" }
                        th.number scope="col" { "Time" }
                    }
                    tr.fields {
                        td {
                            select form="filters" name="status" aria-label="Status" {
                                @for (value, name) in statuses {
                                    option value=(value) selected[value == status] { (name) }
                                }
                                @if !statuses.iter().any(|it| it.0 == status) {
                                    option value=(status) selected { (status) }
                                }
                            }
                        }
                        td { (field("method", "Method", "any")) }
                        td { (field("route", "Route or path", "any route")) }
                        td { (field("min", "Least duration", "≥ ms")) }
                        td { (field("spans", "Least number of spans", "≥ 1")) }
                        td { (field("version", "Component version or generation", "any")) }
                        td.number {
                            @if filters::is_narrowed(context) {
                                a.reset href="/" { "Reset" }
                            }
                        }
                    }
                }
                tbody #rows data-live data-rows data-paged {
                    @for trace in &found.traces { (row(trace)) }
                }
            }
        }
        @if found.traces.is_empty() {
            div.empty {
                h2 { "No trace matches" }
                p { a href="/" { "Show all traces" } }
            }
        }
        nav #pages.pages data-live data-paged aria-label="Pages" {
            @if !params.text("after").is_empty() {
                a href=(params.with(&[("after", ""), ("plot", "")]).link("/")) { "← Newest page" }
            }
            @if let Some(next) = &found.next {
                @let next = filters::cursor_text(next);
                a rel="next" href=(params.with(&[("after", &next), ("plot", "")]).link("/")) {
                    "Next page →"
                }
            }
        }
    }
}

fn row(trace: &Arc<Trace>) -> Markup {
    let summary = trace.summary();
    let link = format!("/ui/trace/{:032x}", trace.id);
    html! {
        tr id=(format!("t-{:032x}", trace.id)) data-row
            .failed[trace.is_failed] .slow[trace.is_slow] {
            td.status { (status(trace, summary)) }
            td.method { (summary.method) }
            td.route {
                a href=(link) { (summary.target()) }
                @if !summary.error_type.is_empty() && summary.http_status.to_string() != summary.error_type {
                    " " span.error-type { (summary.error_type) }
                }
            }
            td.number.duration { (format::duration(trace.duration())) }
            td.number.spans { (format::count(trace.spans.len() as u64)) }
            td.version { (summary.version) }
            td.number.when { (format::time(trace.start)) }
        }
    }
}

/// The response's code; where there is none, a word.
pub(crate) fn status(trace: &Trace, summary: &Summary) -> Markup {
    let class = match summary.http_status {
        _ if trace.is_failed => "bad",
        400.. => "client",
        _ => "good",
    };
    html! {
        span class=(format!("code {class}")) title=[trace.is_failed.then_some("A span failed")] {
            @if summary.http_status > 0 { (summary.http_status) }
            @else if trace.is_failed { "error" }
            @else { "ok" }
        }
    }
}

fn note(counts: &StoreCounts) -> Markup {
    html! {
        span {
            (format::counted(counts.traces as u64, "trace")) " and "
            (format::counted(counts.logs as u64, "log record")) " in memory, "
            (format::bytes(counts.bytes as u64)) "."
        }
        @if counts.one_in > 1 {
            " " strong {
                "1 in " (format::count(counts.one_in)) " traces is shown: more arrive than can be "
                "looked at. Failed and slow ones come first."
            }
        }
        @if counts.passed_over_spans > 0 {
            " " span { (format::counted(counts.passed_over_spans, "span")) " passed over so far." }
        }
    }
}
