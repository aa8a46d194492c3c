//! Two traces side by side: spans with the same names on the way to them are one line.

use std::collections::{HashMap, HashSet};

use maud::{Markup, html};

use crate::jaeger;
use crate::model::{SpanModel, TraceModel};
use crate::pages::layout::{Context, Page, View, layout, not_found};
use crate::pages::shown::Shown;
use crate::pages::{format, waterfall};
use crate::params::Params;

/// Lines of the page.
const MAX_LINES: usize = 500;

/// A line: a span of either trace, or one of each.
struct Line<'a> {
    name: &'a str,
    depth: usize,
    spans: [Option<&'a SpanModel>; 2],
}

pub(crate) fn page(context: &Context<'_>) -> Page {
    let find = |key: &str| {
        let id = jaeger::trace_id(context.params.text(key))?;
        context.store.trace(id)
    };
    let (Some(a), Some(b)) = (find("a"), find("b")) else {
        let why = html! { p { "Both traces have to be in memory to be compared." } };
        return not_found(View::Traces, "A trace is missing", why, "traces", context);
    };
    let models = [TraceModel::new(&a, &[]), TraceModel::new(&b, &[])];
    let summaries = [a.summary(), b.summary()];
    let none = Params::default();
    let shown = models.each_ref().map(|model| Shown {
        model,
        params: &none,
        path: format!("/ui/trace/{:032x}", model.id),
        text: String::new(),
        selected: None,
    });
    let lines = lines(&models);
    let swapped = context
        .params
        .with(&[
            ("a", context.params.text("b")),
            ("b", context.params.text("a")),
        ])
        .link("/ui/compare");
    let main = html! {
        p.back { a href="/" data-back { "← Traces" } }
        div.title { h1 { "Two traces" } }
        div.toolbar {
            @for (name, (model, summary)) in ["A", "B"].iter().zip(models.iter().zip(&summaries)) {
                span { strong { (name) } " "
                    a href=(format!("/ui/trace/{:032x}", model.id)) { (summary.method) " " (summary.target()) }
                    span.muted { ", " (format::duration(model.duration())) ", "
                        (format::counted(model.spans.len() as u64, "span")) }
                }
            }
            span.spring {}
            a href=(swapped) { "Swap A and B" }
        }
        div.scroll tabindex="0" role="region" aria-label="Spans of both" {
            table.comparison {
                thead { tr {
                    th scope="col" { "Span" }
                    th scope="col" { "A" } th.number scope="col" { span.hidden { "Duration in " } "A" }
                    th scope="col" { "B" } th.number scope="col" { span.hidden { "Duration in " } "B" }
                    th.number scope="col" { "B − A" }
                } }
                tbody { @for line in lines.iter().take(MAX_LINES) { (row(line, &shown)) } }
            }
        }
        @if lines.len() > MAX_LINES {
            p.muted { (format::count((lines.len() - MAX_LINES) as u64)) " more are not shown." }
        }
    };
    layout(View::Traces, "Two traces", "", context, main)
}

fn row(line: &Line<'_>, shown: &[Shown<'_>; 2]) -> Markup {
    html! {
        tr data-row {
            th scope="row" { span class=(format!("name d{}", line.depth.min(16))) { (line.name) } }
            @for (span, shown) in line.spans.iter().zip(shown) {
                @match span {
                    Some(span) => {
                        td.bars { (waterfall::bar(span, shown)) }
                        td.number {
                            a href=(shown.span_link(span.head.span_id)) { (format::duration(span.head.duration())) }
                        }
                    }
                    None => { td {} td.number.muted { "–" } }
                }
            }
            td.number { (difference(line)) }
        }
    }
}

fn difference(line: &Line<'_>) -> Markup {
    let [Some(a), Some(b)] = line.spans else {
        return html! { span.muted { @if line.spans[0].is_some() { "only A" } @else { "only B" } } };
    };
    let (a, b) = (a.head.duration(), b.head.duration());
    html! {
        @if b >= a { span .more[b - a > a / 10] { "+" (format::duration(b - a)) } }
        @else { span .less[a - b > a / 10] { "−" (format::duration(a - b)) } }
    }
}

/// The lines in the order of A, those of B alone behind what precedes them.
fn lines(models: &[TraceModel; 2]) -> Vec<Line<'_>> {
    let [keys_a, keys_b] = models.each_ref().map(keys);
    let places: HashMap<_, _> = keys_b
        .iter()
        .enumerate()
        .map(|(at, key)| (*key, at))
        .collect();
    let mut lines = Vec::new();
    let mut next_b = 0;
    let in_a: HashSet<_> = keys_a.iter().copied().collect();
    for (a, key) in models[0].spans.iter().zip(&keys_a) {
        let found = places.get(key).copied();
        if let Some(found) = found {
            while next_b < found {
                let b = &models[1].spans[next_b];
                if !in_a.contains(&keys_b[next_b]) {
                    lines.push(Line {
                        name: &b.span.name,
                        depth: b.depth,
                        spans: [None, Some(b)],
                    });
                }
                next_b += 1;
            }
            next_b = next_b.max(found + 1);
        }
        let b = found.map(|at| &models[1].spans[at]);
        lines.push(Line {
            name: &a.span.name,
            depth: a.depth,
            spans: [Some(a), b],
        });
    }
    for (b, key) in models[1].spans.iter().zip(&keys_b).skip(next_b) {
        if !in_a.contains(key) {
            lines.push(Line {
                name: &b.span.name,
                depth: b.depth,
                spans: [None, Some(b)],
            });
        }
    }
    lines
}

/// What a span has in common with its counterpart: its parent's key, its name, and how
/// many siblings of that name precede it.
fn keys(model: &TraceModel) -> Vec<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut keys: Vec<u64> = Vec::with_capacity(model.spans.len());
    let mut seen: HashMap<(Option<u64>, &str), u64> = HashMap::new();
    for span in &model.spans {
        let parent = span.parent.map(|at| keys[at]);
        // What is compared are two traces, whatever their first spans are called.
        let name = parent.map_or("", |_| span.span.name.as_str());
        let before = seen.entry((parent, name)).or_default();
        let mut hasher = DefaultHasher::new();
        (parent, name, *before).hash(&mut hasher);
        *before += 1;
        keys.push(hasher.finish());
    }
    keys
}
