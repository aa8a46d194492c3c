//! One trace: its head, and the views of it.

use maud::{Markup, html};

use crate::jaeger;
use crate::model::{SpanModel, Summary, TraceModel};
use crate::pages::{Context, Page, View, flame, format, layout, logs, not_found, waterfall};
use crate::params::Params;
use crate::store::traces::Trace;

/// The ways to look at a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Waterfall,
    Flame,
    Logs,
}

/// A trace on a page, and what the reader has asked of it.
pub(crate) struct Shown<'a> {
    pub(crate) model: &'a TraceModel,
    pub(crate) params: &'a Params,
    /// The page's own path.
    pub(crate) path: String,
    /// What is searched for inside, in lower case.
    pub(crate) text: String,
    /// The span whose details are shown.
    pub(crate) selected: Option<u64>,
}

impl Shown<'_> {
    /// A link to this page with other parameters.
    pub(crate) fn link(&self, changes: &[(&str, &str)]) -> String {
        self.params.with(changes).link(&self.path)
    }

    /// A link that shows the details of a span, or hides them.
    pub(crate) fn span_link(&self, span_id: u64) -> String {
        let id = format!("{span_id:016x}");
        match self.selected == Some(span_id) {
            true => format!("{}#s-{id}", self.link(&[("span", "")])),
            false => format!("{}#s-{id}", self.link(&[("span", &id)])),
        }
    }

    /// Whether the span has the text that is searched for.
    pub(crate) fn is_match(&self, span: &SpanModel) -> bool {
        let has = |text: &str| crate::query::contains(text.as_bytes(), &self.text);
        let in_attributes = |list: &[opentelemetry_proto::tonic::common::v1::KeyValue]| {
            list.iter()
                .any(|it| has(&it.key) || has(&crate::value::text(it.value.as_ref())))
        };
        !self.text.is_empty()
            && (has(&span.span.name)
                || in_attributes(&span.span.attributes)
                || span
                    .span
                    .events
                    .iter()
                    .any(|it| has(&it.name) || in_attributes(&it.attributes))
                || has(&format!("{:016x}", span.head.span_id)))
    }
}

/// The page of the trace with this id. A `.json` behind it is not a page.
pub(crate) fn page(id: &str, context: &Context<'_>) -> Page {
    let Some(trace) = jaeger::trace_id(id).and_then(|id| context.store.trace(id)) else {
        let why = html! {
            p { "It has made room for newer ones, or was not among those that are stored." }
            @if let Some(link) = jaeger_link(context, id) {
                p { a href=(link) { "Look for it in Jaeger" } }
            }
        };
        return not_found(View::Traces, "This trace is not in memory", why, context);
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
    let summary = Summary::of(&trace);
    let main = html! {
        (head(&trace, &summary, &shown, context))
        (ways(way, &shown))
        @match way {
            Way::Waterfall => (waterfall::waterfall(&shown)),
            Way::Flame => (flame::graph(&shown)),
            Way::Logs => (logs::of_trace(&model)),
        }
    };
    let title = format!("{} {}", summary.method, summary.target());
    layout(View::Traces, &title, "", context, main)
}

fn head(trace: &Trace, summary: &Summary, shown: &Shown<'_>, context: &Context<'_>) -> Markup {
    let id = format!("{:032x}", trace.id);
    html! {
        p.back { a href="/" data-back { "← Traces" } }
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
        @if shown.model.dropped_spans > 0 {
            p.warning {
                (format::counted(shown.model.dropped_spans, "span"))
                " of this trace had no room in memory."
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
                format!("{} {name}", Summary::of(it).target()),
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
            div.choice role="group" aria-label="View of the trace" {
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
                    span.muted role="status" { (found) " of " (shown.model.spans.len()) }
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
