//! Rates, latencies, instances and memory over the last minutes, and every instrument.

use std::time::SystemTime;

use maud::{Markup, html};

use crate::pages::{Context, Page, View, format, layout, plots};
use crate::samples::{INTERVAL, Interval};
use crate::status::{Instrument, MetricsStatus, Point, PointValue, SwapOutcome};

/// Sets of attributes of an instrument that are shown.
const MAX_POINTS: usize = 50;
const MAX_INSTRUMENTS: usize = 500;

pub(crate) fn page(context: &Context<'_>) -> Page {
    let metrics = context.host.metrics();
    let intervals = context.samples.intervals();
    let marks = swaps(context, &intervals);
    let text = context.params.text("q");
    let is_shown =
        |it: &&Instrument| text.is_empty() || crate::query::contains(it.name.as_bytes(), text);
    let of = |is_guests: bool| {
        let all = metrics.instruments.iter();
        let of_kind = all.filter(move |it| it.is_guests == is_guests);
        of_kind
            .filter(is_shown)
            .take(MAX_INSTRUMENTS)
            .collect::<Vec<_>>()
    };
    let refresh = INTERVAL.as_millis().to_string();
    let main = html! {
        h1.hidden { "Metrics" }
        div #rates.cards data-live data-every=(refresh) { (cards(&metrics, &intervals, &marks)) }
        section {
            h2 { "Durations of requests" }
            div #durations data-live data-every=(refresh) {
                @if metrics.duration.count() == 0 {
                    p.muted { "No request has ended yet." }
                } @else {
                    (plots::durations(&metrics.duration))
                }
            }
        }
        section {
            div.toolbar {
                h2 { "Instruments" }
                span.spring {}
                form.search method="get" action="/ui/metrics" role="search" {
                    label.hidden for="q" { "Search in names of instruments" }
                    input #q type="search" name="q" value=(text) placeholder="Name of an instrument"
                        autocomplete="off" aria-keyshortcuts="/";
                    button type="submit" { "Search" }
                }
            }
            div #instruments data-live data-every=(refresh) {
                h3 { "Of the component" }
                (instruments("Instruments of the component", &of(true), "The component has recorded no value yet."))
                h3 { "Of the host" }
                (instruments("Instruments of the host", &of(false), "The host has recorded no value yet."))
            }
        }
    };
    layout(View::Metrics, "Metrics", "component", context, main)
}

/// When the component changed, as places in the plots.
fn swaps(context: &Context<'_>, intervals: &[Interval]) -> Vec<f64> {
    let moment = |it: Option<&Interval>| it.and_then(|it| it.at);
    let (Some(first), Some(last)) = (moment(intervals.first()), moment(intervals.last())) else {
        return Vec::new();
    };
    let history = context.host.component().history;
    let swaps = history
        .into_iter()
        .filter(|it| matches!(it.outcome, SwapOutcome::Swapped | SwapOutcome::RolledBack));
    let moments: Vec<SystemTime> = swaps.map(|it| it.at).collect();
    plots::marks(moments.into_iter(), first, last)
}

fn cards(metrics: &MetricsStatus, intervals: &[Interval], marks: &[f64]) -> Markup {
    let last = intervals.last();
    let line = |name: &str, value: fn(&Interval) -> Option<f64>| {
        let values: Vec<_> = intervals.iter().map(value).collect();
        plots::line(&format!("{name} over the last minutes"), &values, marks)
    };
    let duration = |value: Option<f64>| value.map_or("–".to_owned(), format::seconds);
    // Between two samples without a request, the last that had some say how it is.
    let recent = intervals.iter().rev().find(|it| it.median.is_some());
    let rate = |value: fn(&Interval) -> f64| {
        last.map_or("–".to_owned(), |it| format!("{:.1}", value(it)))
    };
    html! {
        (card("Requests", &rate(|it| it.requests), "/s", &format!("{} in all", format::count(metrics.requests)),
            line("Requests", |it| Some(it.requests))))
        (card("Errors", &rate(|it| it.errors), "/s", &format!("{} in all", format::count(metrics.errors)),
            line("Errors", |it| Some(it.errors))))
        (card("Median", &duration(recent.and_then(|it| it.median)), "", "half are quicker",
            line("Median", |it| it.median)))
        (card("95th percentile", &duration(recent.and_then(|it| it.p95)), "",
            &format!("99th: {}", duration(recent.and_then(|it| it.p99))), line("95th percentile", |it| it.p95)))
        (card("Instances", &format::count(metrics.instances), "",
            &format!("of {}, {} waiting", format::count(metrics.max_instances), format::count(metrics.waiting)),
            line("Instances", |it| Some(it.instances))))
        @if metrics.resident_bytes > 0 {
            (card("Memory", &format::bytes(metrics.resident_bytes), "", "of the host's process",
                line("Memory", |it| Some(it.resident_bytes))))
        }
    }
}

fn card(name: &str, value: &str, unit: &str, note: &str, line: Markup) -> Markup {
    html! {
        div.card {
            h2 { (name) }
            p.figure { (value) @if !unit.is_empty() { span.muted { (unit) } } }
            p.muted { (note) }
            (line)
        }
    }
}

fn instruments(label: &str, instruments: &[&Instrument], empty: &str) -> Markup {
    if instruments.is_empty() {
        return html! { p.muted { (empty) } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table.instruments {
                thead { tr {
                    th scope="col" { "Name" }
                    th scope="col" { "Attributes" }
                    th.number scope="col" { "Value" }
                } }
                tbody {
                    @for it in instruments {
                        @for (at, point) in it.points.iter().take(MAX_POINTS).enumerate() {
                            tr .first[at == 0] {
                                @if at == 0 {
                                    th scope="row" title=(it.description) {
                                        (it.name) " " span.muted { (it.kind) }
                                    }
                                } @else { td {} }
                                td.pairs {
                                    @for (key, value) in &point.attributes {
                                        span.pair { (key) "=" span.value { (value) } } " "
                                    }
                                }
                                td.number { (value(point, &it.unit)) }
                            }
                        }
                        @if it.points.len() > MAX_POINTS {
                            tr { td {} td.muted { (it.points.len() - MAX_POINTS) " more" } td {} }
                        }
                    }
                }
            }
        }
    }
}

fn value(point: &Point, unit: &str) -> Markup {
    let shown = |value: f64| match unit {
        "s" => format::seconds(value),
        "By" if value >= 0.0 => format::bytes(value as u64),
        // What stands in braces says what is counted, and is no unit.
        _ if unit.is_empty() || unit.starts_with('{') || unit == "1" => format::number(value),
        _ => format!("{} {unit}", format::number(value)),
    };
    match &point.value {
        PointValue::Number(value) => html! { (shown(*value)) },
        PointValue::Histogram(histogram) => {
            let median = histogram.percentile(0.5).map_or("–".to_owned(), shown);
            let p95 = histogram.percentile(0.95).map_or("–".to_owned(), shown);
            html! {
                (format::count(histogram.count())) span.muted { " × " } (median)
                span.muted { ", p95 " } (p95)
            }
        }
    }
}
