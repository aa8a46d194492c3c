//! One trace: its head, and the views of it.

use maud::{Markup, html};

use crate::jaeger;
use crate::model::TraceModel;
use crate::pages::layout::{Context, Page, View, layout, not_found};
use crate::pages::shown::Shown;
use crate::pages::{flame, format, logs, waterfall};
use crate::store::Store;
use crate::store::summary::Summary;
use crate::store::traces::Trace;

/// The ways to look at a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Waterfall,
    Flame,
    Logs,
}

/// The page of the trace with this id. A `.json` behind it is not a page.
pub(crate) fn page(id: &str, context: &Context<'_>) -> Page {
    let Some(trace) = jaeger::trace_id(id).and_then(|id| context.store.trace(id)) else {
        let why = html! {
            p { "It has made room for newer ones, was not among those that are stored, or is still to come." }
            @if let Some(link) = jaeger_link(context, id) {
                p { a href=(link) { "Look for it in Jaeger" } }
            }
        };
        let what = "This trace is not in memory";
        return not_found(View::Traces, what, why, "traces", context);
    };
    let model = TraceModel::new(&trace, &context.store.logs_of(trace.id));
    let params = context.params;
    let selected = params.text("span");
    let shown = Shown {
        model: &model,
        params,
        path: format!("/ui/trace/{:032x}", trace.id),
        text: params.text("q").to_lowercase(),
        selected: u64::from_str_radix(selected, 16).ok(),
    };
    let way = match params.text("view") {
        "flame" => Way::Flame,
        "logs" => Way::Logs,
        _ => Way::Waterfall,
    };
    let summary = trace.summary();
    let main = html! {
        p.back { a href="/" data-back { "← Traces" } }
        div #trace-head data-live { (head(&trace, summary, &shown)) }
        (actions(&trace, summary, context))
        (ways(way, &shown))
        @match way {
            Way::Waterfall => (waterfall::waterfall(&shown)),
            Way::Flame => div #flame data-live { (flame::graph(&shown)) },
            Way::Logs => div #trace-logs data-live { (logs::of_trace(&model)) },
        }
    };
    let title = format!("{} {}", summary.method, summary.target());
    layout(View::Traces, &title, "traces logs", context, main)
}

/// A text that changes when spans or log records of the trace arrive; `None` where it is
/// not in memory.
pub(crate) fn version(id: &str, store: &Store) -> Option<String> {
    let trace = jaeger::trace_id(id).and_then(|id| store.trace(id))?;
    let (spans, logs) = (trace.spans.len(), store.logs_of(trace.id).len());
    Some(format!(
        "{}-{spans}-{}-{logs}",
        trace.seq, trace.dropped_spans
    ))
}

fn head(trace: &Trace, summary: &Summary, shown: &Shown<'_>) -> Markup {
    let id = format!("{:032x}", trace.id);
    html! {
        div.title {
            (crate::pages::traces::status(trace, summary))
            h1 { (summary.method) " " (summary.target()) }
        }
        dl.facts {
            div { dt { "Duration" } dd { (format::duration(trace.duration())) } }
            div { dt { "Spans" } dd { (format::count(trace.spans.len() as u64)) } }
            div { dt { "Began" } dd { (format::time(trace.start)) } }
            @if !summary.service.is_empty() { div { dt { "Service" } dd { (summary.service) } } }
            @if !summary.version.is_empty() {
                div {
                    dt { "Component" }
                    dd {
                        (summary.version)
                        @if !summary.generation.is_empty() { span.muted { " #" (summary.generation) } }
                    }
                }
            }
            div.wide {
                dt { "Trace" }
                dd { code.id { (id) } " " button.copy type="button" data-copy=(id) hidden { "Copy" } }
            }
        }
        @if shown.model.dropped_spans > 0 {
            p.warning {
                (format::counted(shown.model.dropped_spans, "span"))
                " of this trace had no room in memory."
            }
        }
    }
}

fn actions(trace: &Trace, summary: &Summary, context: &Context<'_>) -> Markup {
    let id = format!("{:032x}", trace.id);
    html! {
        div.actions {
            a href=(format!("/ui/trace/{id}.json")) download=(format!("{id}.json")) { "OTLP JSON" }
            @if let Some(link) = jaeger_link(context, &id) {
                a href=(link) rel="noreferrer" { "Jaeger" }
            }
            form.compare method="get" action="/ui/compare" {
                input type="hidden" name="a" value=(id);
                label.hidden for="compare" { "Id of another trace" }
                input #compare type="text" name="b" list="others" placeholder="Id of another trace"
                    autocomplete="off" spellcheck="false";
                datalist #others {
                    @for (other, name) in others(trace, summary, context) {
                        option value=(other) { (name) }
                    }
                }
                button type="submit" { "Compare" }
            }
        }
    }
}

/// Traces of the same kind, to compare with.
fn others(trace: &Trace, summary: &Summary, context: &Context<'_>) -> Vec<(String, String)> {
    const OTHERS: usize = 20;
    let search = crate::query::Search {
        limit: OTHERS,
        route: summary.target().to_owned(),
        ..crate::query::Search::default()
    };
    let found = search.run(context.store).traces;
    let others = found.iter().filter(|it| it.id != trace.id);
    others
        .map(|it| {
            let name = format!("{}, {}", it.spans.len(), format::duration(it.duration()));
            (
                format!("{:032x}", it.id),
                format!("{} {name}", it.summary().target()),
            )
        })
        .collect()
}

fn ways(way: Way, shown: &Shown<'_>) -> Markup {
    let tab = |it: Way, name: &str, value: &str, count: Option<usize>| {
        html! {
            a href=(shown.link(&[("view", value)])) aria-current=[(it == way).then_some("true")] {
                (name)
                @if let Some(count) = count { " " span.muted { (count) } }
            }
        }
    };
    html! {
        div.toolbar {
            div #ways.choice data-live role="group" aria-label="View of the trace" {
                (tab(Way::Waterfall, "Waterfall", "", None))
                (tab(Way::Flame, "Flame graph", "flame", None))
                (tab(Way::Logs, "Logs", "logs", Some(shown.model.logs.len())))
            }
            span.spring {}
            @if way != Way::Logs {
                form.search method="get" action=(shown.path) role="search" {
                    @for key in ["view", "span", "closed"] {
                        @if !shown.params.text(key).is_empty() {
                            input type="hidden" name=(key) value=(shown.params.text(key));
                        }
                    }
                    label.hidden for="q" { "Search inside the trace" }
                    input #q type="search" name="q" value=(shown.params.text("q"))
                        placeholder="Search inside" autocomplete="off" aria-keyshortcuts="/";
                    button type="submit" { "Find" }
                }
                @if !shown.text.is_empty() {
                    @let found = shown.model.spans.iter().filter(|it| shown.is_match(it)).count();
                    span #matches.muted data-live role="status" { (found) " of " (shown.model.spans.len()) }
                }
            }
        }
    }
}

fn jaeger_link(context: &Context<'_>, id: &str) -> Option<String> {
    let url = context.config.jaeger_url.as_deref()?;
    let id = jaeger::trace_id(id)?;
    Some(format!("{}/trace/{id:032x}", url.trim_end_matches('/')))
}
