//! The flame graph of a trace: the spans' time from left to right, their depth from top
//! to bottom.

use maud::{Markup, html};

use crate::model::SpanModel;
use crate::pages::shown::Shown;
use crate::pages::waterfall::class;
use crate::pages::{format, span};

/// The height of a row, in pixels.
const ROW: usize = 22;
/// Rows and boxes of a graph; what is deeper, or narrower than the others, is left out.
const MAX_ROWS: usize = 60;
const MAX_BOXES: usize = 1000;

/// The graph, and the details of the selected span below it.
pub(crate) fn graph(shown: &Shown<'_>) -> Markup {
    let model = shown.model;
    let mut boxes: Vec<_> = model
        .spans
        .iter()
        .filter(|it| it.depth < MAX_ROWS)
        .collect();
    let left_out = model.spans.len() - boxes.len().min(MAX_BOXES);
    if boxes.len() > MAX_BOXES {
        boxes.sort_by_key(|it| std::cmp::Reverse(it.head.duration()));
        boxes.truncate(MAX_BOXES);
    }
    let rows = boxes.iter().map(|it| it.depth + 1).max().unwrap_or(0);
    let selected = model
        .spans
        .iter()
        .find(|it| Some(it.head.span_id) == shown.selected);
    html! {
        svg.flame width="100%" height=(rows * ROW) role="group" aria-label="Flame graph" {
            @for it in boxes { (flame(it, shown)) }
        }
        @if left_out > 0 {
            p.muted { (format::counted(left_out as u64, "span")) " left out: deeper or shorter than the others." }
        }
        @if let Some(selected) = selected { (span::details(selected, shown)) }
    }
}

fn flame(span: &SpanModel, shown: &Shown<'_>) -> Markup {
    let model = shown.model;
    let from = format::share(
        span.head.start.saturating_sub(model.start),
        model.duration(),
    );
    let width = format::share(span.head.duration(), model.duration()).max(0.001);
    let label = format!(
        "{}, {}",
        span.span.name,
        format::duration(span.head.duration())
    );
    let is_selected = shown.selected == Some(span.head.span_id);
    let is_dimmed = !shown.text.is_empty() && !shown.is_match(span);
    html! {
        a href=(shown.span_link(span.head.span_id)) data-soft aria-label=(label) data-row
            .selected[is_selected] .dimmed[is_dimmed] {
            svg x=(format::percent(from)) y=(span.depth * ROW) width=(format::percent(width))
                height=(ROW - 2) overflow="hidden" {
                title { (label) }
                rect class=(class(span)) width="100%" height="100%" rx="2" {}
                text class=(class(span)) x="5" y="14" { (span.span.name) }
            }
        }
    }
}
