//! The details of a span: attributes, events, exceptions, links and log records.

use maud::{Markup, html};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use crate::jaeger::kind_name;
use crate::model::{SpanModel, sorted};
use crate::pages::shown::Shown;
use crate::pages::{format, logs};
use crate::params::escaped;
use crate::value;

/// Events, links and log records of one list.
const MAX_ITEMS: usize = 200;

/// The details.
pub(crate) fn details(span: &SpanModel, shown: &Shown<'_>) -> Markup {
    let id = format!("{:016x}", span.head.span_id);
    let since = |time: u64| format::duration(time.saturating_sub(shown.model.start));
    let of_span: Vec<_> = shown
        .model
        .logs
        .iter()
        .filter(|it| it.span_id == span.head.span_id)
        .collect();
    let scope = span.origin.scope();
    let status = span.span.status.as_ref();
    html! {
        section.details aria-label=(format!("Details of {}", span.span.name)) {
            header {
                h2 { (span.span.name) }
                dl.facts {
                    div { dt { "Began after" } dd { (since(span.head.start)) } }
                    div { dt { "Duration" } dd { (format::duration(span.head.duration())) } }
                    @if !kind_name(span.head.kind).is_empty() {
                        div { dt { "Kind" } dd { (kind_name(span.head.kind)) } }
                    }
                    @if !scope.name.is_empty() {
                        div { dt { "Scope" } dd { (scope.name) " " span.muted { (scope.version) } } }
                    }
                    div {
                        dt { "Span" }
                        dd { code.id { (id) } " " button.copy type="button" data-copy=(id) hidden { "Copy" } }
                    }
                }
                @if let Some(status) = status.filter(|it| it.code == 2) {
                    p.warning { "Error" @if !status.message.is_empty() { ": " (status.message) } }
                }
            }
            (attributes("Attributes", &span.sorted_attributes(), true))
            (dropped(span.span.dropped_attributes_count, "attribute"))
            @if !span.span.events.is_empty() {
                h3 { "Events" }
                ol.events {
                    @for it in span.span.events.iter().take(MAX_ITEMS) {
                        (event(it, &since(it.time_unix_nano)))
                    }
                }
            }
            (dropped(span.span.dropped_events_count + over(span.span.events.len()), "event"))
            @if !span.span.links.is_empty() {
                h3 { "Links" }
                ul.links {
                    @for it in span.span.links.iter().take(MAX_ITEMS) { li { (link(it)) } }
                }
            }
            (dropped(span.span.dropped_links_count + over(span.span.links.len()), "link"))
            @if !of_span.is_empty() {
                h3 { "Logs" }
                (logs::short(of_span.iter().copied().take(MAX_ITEMS), shown.model.start))
            }
            details.resource {
                summary { "Resource" }
                (attributes("", &sorted(&span.origin.resource().attributes), false))
            }
        }
    }
}

fn over(items: usize) -> u32 {
    u32::try_from(items.saturating_sub(MAX_ITEMS)).unwrap_or(u32::MAX)
}

fn dropped(count: u32, noun: &str) -> Markup {
    html! {
        @if count > 0 { p.muted { (format::counted(count.into(), noun)) " not shown." } }
    }
}

/// Keys and values. Those of a span lead to the traces that have the same.
fn attributes(heading: &str, attributes: &[&KeyValue], are_links: bool) -> Markup {
    html! {
        @if !attributes.is_empty() {
            @if !heading.is_empty() { h3 { (heading) } }
            dl.attributes {
                @for it in attributes {
                    @let text = value::text(it.value.as_ref());
                    div {
                        dt { (it.key) }
                        dd {
                            (long(&text))
                            @if are_links && text.len() <= 200 {
                                " " a.same href=(format!("/?attr={}", escaped(&format!("{}={text}", it.key))))
                                    aria-label=(format!("Traces with this {}", it.key))
                                    title="Traces with this value" { "⌕" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A text whose lines are kept, folded where it is long.
fn long(text: &str) -> Markup {
    const MAX_SHOWN: usize = 400;
    if text.len() <= MAX_SHOWN {
        return html! { span.value { (text) } };
    }
    let start = text
        .get(..text.floor_char_boundary(MAX_SHOWN / 2))
        .unwrap_or_default();
    html! {
        details.long {
            summary { span.value { (start) "…" } " " span.muted { (format::bytes(text.len() as u64)) } }
            pre { (text) }
        }
    }
}

fn event(event: &Event, since: &str) -> Markup {
    let text = |key: &str| value::find_text(&event.attributes, key).unwrap_or_default();
    let is_exception = event.name == "exception";
    let rest: Vec<_> = sorted(&event.attributes)
        .into_iter()
        .filter(|it| !is_exception || !it.key.starts_with("exception."))
        .collect();
    html! {
        li .exception[is_exception] {
            span.muted.number { "+" (since) } " "
            @if is_exception {
                strong { (text("exception.type")) }
                @if !text("exception.message").is_empty() {
                    pre.message { (text("exception.message")) }
                }
                @let stack = text("exception.stacktrace");
                @if !stack.is_empty() { pre.stack aria-label="Stack trace" { (stack) } }
            } @else {
                strong { (event.name) }
            }
            (attributes("", &rest, false))
            (dropped(event.dropped_attributes_count, "attribute"))
        }
    }
}

fn link(link: &Link) -> Markup {
    let hex = |id: &[u8]| id.iter().map(|it| format!("{it:02x}")).collect::<String>();
    let (trace, span) = (hex(&link.trace_id), hex(&link.span_id));
    html! {
        a href=(format!("/ui/trace/{trace}?span={span}#s-{span}")) { code.id { (trace) } }
        (attributes("", &sorted(&link.attributes), false))
    }
}
