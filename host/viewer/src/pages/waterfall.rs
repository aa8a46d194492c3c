//! The waterfall of a trace: a line for each span, in its tree.

use std::collections::HashSet;

use maud::{Markup, html};

use crate::model::SpanModel;
use crate::pages::shown::Shown;
use crate::pages::{format, span};

/// Lines of a page.
const LINES: usize = 500;
/// Spans below this depth are not indented further.
const MAX_INDENT: usize = 16;

/// The waterfall.
pub(crate) fn waterfall(shown: &Shown<'_>) -> Markup {
    let model = shown.model;
    let closed = closed(shown);
    let visible = visible(&model.spans, &closed);
    let first = first_line(shown, &visible);
    let lines = visible.get(first..).unwrap_or_default();
    html! {
        div #waterfall.waterfall data-live data-rows role="list" aria-label="Spans" {
            div #axis.axis aria-hidden="true" {
                span {}
                svg.ticks width="100%" height="18" {
                    @for at in 0..=4_u32 {
                        @let share = f64::from(at) / 4.0;
                        @let (anchor, dx) = match at { 0 => ("start", "0"), 4 => ("end", "0"), _ => ("middle", "0") };
                        text x=(format::percent(share)) y="13" dx=(dx) text-anchor=(anchor) {
                            (format::duration((model.duration() as f64 * share) as u64))
                        }
                    }
                }
                span {}
            }
            @for at in lines.iter().take(LINES) {
                (line(*at, shown, &closed))
            }
        }
        nav #pages.pages data-live aria-label="Parts of the trace" {
            @if first > 0 {
                a href=(shown.link(&[("line", &first.saturating_sub(LINES).to_string()), ("span", "")])) {
                    "← Spans before"
                }
            }
            @if visible.len() > LINES {
                span.muted { (first + 1) "–" (first + lines.len().min(LINES)) " of " (visible.len()) }
            }
            @if lines.len() > LINES {
                a rel="next" href=(shown.link(&[("line", &(first + LINES).to_string()), ("span", "")])) {
                    "Next spans →"
                }
            }
        }
        p.legend aria-hidden="true" {
            span.key.host {} "host" span.key.guest {} "component"
            span.key.bad {} "error" span.key.critical {} "critical path"
        }
    }
}

/// The line that the page begins with: the one that is asked for, or one that has the
/// selected span on the page.
fn first_line(shown: &Shown<'_>, visible: &[usize]) -> usize {
    let asked = shown
        .params
        .number("line")
        .and_then(|it| usize::try_from(it).ok());
    if let Some(asked) = asked {
        return asked.min(visible.len().saturating_sub(1));
    }
    let is_selected = |at: &usize| Some(shown.model.spans[*at].head.span_id) == shown.selected;
    visible
        .iter()
        .position(is_selected)
        .map_or(0, |it| it / LINES * LINES)
}

/// The spans whose descendants are not shown.
fn closed(shown: &Shown<'_>) -> HashSet<u64> {
    let ids = shown.params.text("closed").split('.');
    ids.filter_map(|id| u64::from_str_radix(id, 16).ok())
        .collect()
}

fn visible(spans: &[SpanModel], closed: &HashSet<u64>) -> Vec<usize> {
    let mut visible = Vec::with_capacity(spans.len());
    let mut at = 0;
    while let Some(span) = spans.get(at) {
        visible.push(at);
        at += 1;
        if closed.contains(&span.head.span_id) {
            at += span.descendants;
        }
    }
    visible
}

fn line(at: usize, shown: &Shown<'_>, closed: &HashSet<u64>) -> Markup {
    let span = &shown.model.spans[at];
    let id = format!("{:016x}", span.head.span_id);
    let is_selected = shown.selected == Some(span.head.span_id);
    let is_match = shown.is_match(span);
    let is_dimmed = !shown.text.is_empty() && !is_match;
    let indent = span.depth.min(MAX_INDENT);
    html! {
        div id=(format!("i-{id}")) role="listitem" {
        div.line id=(format!("s-{id}")) data-row .selected[is_selected]
            .match[is_match] .dimmed[is_dimmed] {
            span class=(format!("name d{indent}")) {
                (toggle(span, shown, closed))
                a href=(shown.span_link(span.head.span_id)) data-soft
                    aria-expanded=(is_selected.to_string()) .failed[span.head.is_error] {
                    (span.span.name)
                }
            }
            span.bars { (bar(span, shown)) }
            span.number.took { (format::duration(span.head.duration())) }
        }
        @if is_selected { (span::details(span, shown)) }
        }
    }
}

fn toggle(span: &SpanModel, shown: &Shown<'_>, closed: &HashSet<u64>) -> Markup {
    if span.descendants == 0 {
        return html! { span.toggle {} };
    }
    let is_closed = closed.contains(&span.head.span_id);
    let mut changed: Vec<_> = closed
        .iter()
        .copied()
        .filter(|it| *it != span.head.span_id)
        .collect();
    if !is_closed {
        changed.push(span.head.span_id);
    }
    changed.sort_unstable();
    let ids: Vec<_> = changed.iter().map(|it| format!("{it:016x}")).collect();
    let link = shown.link(&[("closed", &ids.join("."))]);
    let (sign, label) = match is_closed {
        true => (
            "▸",
            format!(
                "Show {} below",
                format::counted(span.descendants as u64, "span")
            ),
        ),
        false => (
            "▾",
            format!(
                "Hide {} below",
                format::counted(span.descendants as u64, "span")
            ),
        ),
    };
    html! {
        a.toggle href=(format!("{link}#s-{:016x}", span.head.span_id)) data-soft aria-label=(label)
            title=(label) { (sign) }
    }
}

/// The span's place in the trace's time.
pub(crate) fn bar(span: &SpanModel, shown: &Shown<'_>) -> Markup {
    let model = shown.model;
    let from = format::share(
        span.head.start.saturating_sub(model.start),
        model.duration(),
    );
    let width = format::share(span.head.duration(), model.duration()).max(0.002);
    let from = from.min(1.0 - width);
    html! {
        svg.bar width="100%" height="18" aria-hidden="true" {
            rect class=(class(span)) x=(format::percent(from)) y="4" rx="2"
                width=(format::percent(width)) height="10" {}
            @if span.is_critical {
                rect.critical x=(format::percent(from)) y="15" width=(format::percent(width)) height="2" {}
            }
            @for event in &span.span.events {
                @let at = event.time_unix_nano.saturating_sub(model.start);
                circle.event cx=(format::percent(format::share(at, model.duration()))) cy="9" r="2.5" {}
            }
        }
    }
}

/// The colour of a span.
pub(crate) fn class(span: &SpanModel) -> &'static str {
    match span.head.is_error {
        true => "bad",
        false if span.origin.scope().name == "fanlight" => "host",
        false => "guest",
    }
}
