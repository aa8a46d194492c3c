//! Rates, latencies, instances and memory over the last minutes, and every instrument.

use std::time::SystemTime;

use maud::{Markup, html};

use crate::pages::layout::{Context, Page, View, layout};
use crate::pages::plots::Step;
use crate::pages::{format, marks, plots};
use crate::params::escaped;
use crate::query::contains;
use crate::samples::{INTERVAL, Interval};
use crate::status::{Instrument, MetricsStatus, Point, PointValue};

/// Sets of attributes of an instrument that are shown.
const MAX_POINTS: usize = 50;
/// The same where one instrument is asked for, and those with all of their buckets.
const MAX_POINTS_OF_ONE: usize = 1000;
const MAX_DISTRIBUTIONS: usize = 20;
/// Lines of a table: a component makes as many instruments as it likes.
const MAX_LINES: usize = 1000;

pub(crate) fn page(context: &Context<'_>) -> Page {
    let metrics = context.host.metrics();
    context.samples.add(&metrics, SystemTime::now());
    let intervals = context.samples.intervals();
    let text = context.params.text("q");
    let none = |maker: &str| match text {
        "" => format!("{maker} has recorded no value yet."),
        _ => format!("{maker} has no instrument with this name."),
    };
    let refresh = INTERVAL.as_millis().to_string();
    let main = html! {
        h1.hidden { "Metrics" }
        div #rates.cards data-live data-every=(refresh) { (cards(&metrics, &intervals, context)) }
        section {
            h2 { "Durations of requests" }
            div #durations data-live data-every=(refresh) {
                @if metrics.duration.count() == 0 {
                    p.muted { "No request has ended yet." }
                } @else {
                    p.muted { "All requests since the start. A bucket leads to the traces in it that are in memory." }
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
                (instruments("Instruments of the component", &Listed::new(&metrics, true, text), &none("The component")))
                h3 { "Of the host" }
                (instruments("Instruments of the host", &Listed::new(&metrics, false, text), &none("The host")))
            }
        }
    };
    layout(View::Metrics, "Metrics", "component", context, main)
}

/// The time that plots cover.
#[derive(Clone, Copy)]
struct Span {
    from: SystemTime,
    to: SystemTime,
}

impl Span {
    fn of(intervals: &[Interval]) -> Option<Self> {
        Some(Self {
            from: intervals.first()?.from,
            to: intervals.last()?.to,
        })
    }

    /// The place of a moment, from 0 to 1.
    fn share(self, at: SystemTime) -> f64 {
        let since = |it: SystemTime| it.duration_since(self.from).unwrap_or_default();
        since(at).as_secs_f64() / since(self.to).as_secs_f64().max(0.001)
    }
}

fn cards(metrics: &MetricsStatus, intervals: &[Interval], context: &Context<'_>) -> Markup {
    let span = Span::of(intervals);
    let marks = span.map_or(Vec::new(), |it| marks::between(context, it.from, it.to));
    let line = |name: &str, value: fn(&Interval) -> Option<f64>| {
        let steps = intervals.iter().zip(span.into_iter().cycle());
        let steps = steps.map(|(it, span)| Step {
            from: span.share(it.from),
            to: span.share(it.to),
            value: value(it),
        });
        plots::steps(name, &steps.collect::<Vec<_>>(), &marks)
    };
    let duration = |value: Option<f64>| value.map_or("–".to_owned(), format::seconds);
    // Between two samples without a request, the last that had some say how it is.
    let recent = intervals.iter().rev().find(|it| it.median.is_some());
    let last = intervals.last();
    let rate = |value: fn(&Interval) -> f64| {
        last.map_or("–".to_owned(), |it| format!("{:.1}", value(it)))
    };
    html! {
        (card("Requests", &rate(|it| it.requests), "/s",
            &format!("{} in all, {} now", format::count(metrics.requests), format::count(metrics.active)),
            line("Requests", |it| Some(it.requests))))
        (card("Errors", &rate(|it| it.errors), "/s", &format!("{} in all", format::count(metrics.errors)),
            line("Errors", |it| Some(it.errors))))
        (card("Median", &duration(recent.and_then(|it| it.median)), "", "half are quicker",
            line("Median", |it| it.median)))
        (card("95th percentile", &duration(recent.and_then(|it| it.p95)), "", "of the durations",
            line("95th percentile", |it| it.p95)))
        (card("99th percentile", &duration(recent.and_then(|it| it.p99)), "", "of the durations",
            line("99th percentile", |it| it.p99)))
        (card("Instances", &format::count(metrics.instances), "",
            &format!("of {}, {} waiting", format::count(metrics.max_instances), format::count(metrics.waiting)),
            line("Instances", |it| it.instances)))
        @if metrics.resident_bytes > 0 {
            (card("Memory", &format::bytes(metrics.resident_bytes), "", "of the host's process",
                line("Memory", |it| it.resident_bytes)))
        }
        @if let Some(span) = span {
            p.muted.sampling {
                "From " (format::clock(span.from)) " to " (format::clock(span.to)) ". The host is sampled every "
                (INTERVAL.as_secs()) " seconds while this page is open. A longer step is the average of a time "
                "in which it was closed; instances and memory are not known for such a time."
            }
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

/// Instruments of one maker that are shown, and how many more there are.
struct Listed<'a> {
    shown: Vec<&'a Instrument>,
    left_out: usize,
    /// Whether the reader asks for this one alone, and for all of its points.
    is_one: bool,
}

impl<'a> Listed<'a> {
    fn new(metrics: &'a MetricsStatus, is_guests: bool, text: &str) -> Self {
        let of_maker = metrics
            .instruments
            .iter()
            .filter(|it| it.is_guests == is_guests);
        let all = || of_maker.clone();
        if let Some(one) = all().find(|it| it.name == text) {
            return Self {
                shown: vec![one],
                left_out: 0,
                is_one: true,
            };
        }
        let mut found: Vec<_> = all()
            .filter(|it| text.is_empty() || contains(it.name.as_bytes(), text))
            .collect();
        let mut lines = 0;
        let fitting = found.iter().take_while(|it| {
            lines += it.points.len().min(MAX_POINTS) + 1;
            lines <= MAX_LINES
        });
        let fitting = fitting.count();
        let left_out = found.len() - fitting;
        found.truncate(fitting);
        Self {
            shown: found,
            left_out,
            is_one: false,
        }
    }
}

fn instruments(label: &str, listed: &Listed<'_>, empty: &str) -> Markup {
    if listed.shown.is_empty() {
        return html! { p.muted { (empty) } };
    }
    let most = if listed.is_one {
        MAX_POINTS_OF_ONE
    } else {
        MAX_POINTS
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table.instruments {
                thead { tr {
                    th scope="col" { "Name" }
                    th scope="col" { "Attributes" }
                    th.number scope="col" { "Value" }
                } }
                tbody {
                    @for it in &listed.shown {
                        @for (at, point) in it.points.iter().take(most).enumerate() {
                            tr .first[at == 0] {
                                @if at == 0 {
                                    th scope="row" {
                                        (it.name) " " span.muted { (it.kind) }
                                        @if !it.description.is_empty() { p.muted { (it.description) } }
                                    }
                                } @else { td {} }
                                td.pairs {
                                    @for (key, value) in &point.attributes {
                                        span.pair { (key) "=" span.value { (value) } } " "
                                    }
                                }
                                td.number { (value(point, it, listed.is_one && at < MAX_DISTRIBUTIONS)) }
                            }
                        }
                        @if it.points.len() > most {
                            tr { td {} td.muted {
                                @if listed.is_one {
                                    (format::count((it.points.len() - most) as u64)) " more are not shown"
                                } @else {
                                    a href=(of_one(it)) {
                                        (format::count((it.points.len() - most) as u64)) " more"
                                    }
                                }
                            } td {} }
                        }
                    }
                }
            }
        }
        @if listed.left_out > 0 {
            p.muted { (format::counted(listed.left_out as u64, "instrument")) " more: search for their names." }
        }
    }
}

/// A value. That of a histogram is unfolded to its buckets, or leads to where it is.
fn value(point: &Point, of: &Instrument, is_whole: bool) -> Markup {
    let shown = |value: f64| quantity(value, &of.unit);
    let histogram = match &point.value {
        PointValue::Number(value) => return html! { (shown(*value)) },
        PointValue::Histogram(histogram) => histogram,
    };
    let percentile = |share| histogram.percentile(share).map_or("–".to_owned(), shown);
    let summary = html! {
        (format::count(histogram.count())) span.muted { " × " } (percentile(0.5))
        span.muted { ", p95 " } (percentile(0.95))
        span.muted { ", p99 " } (percentile(0.99))
    };
    html! {
        @if is_whole {
            (summary)
            (plots::buckets(histogram, shown))
        } @else {
            a.quiet href=(of_one(of)) title="Show the distribution" { (summary) }
        }
    }
}

fn of_one(instrument: &Instrument) -> String {
    format!("/ui/metrics?q={}", escaped(&instrument.name))
}

/// A value in the unit of its instrument.
fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "s" => format::seconds(value),
        "ms" | "milliseconds" => format::seconds(value / 1e3),
        "By" if value >= 0.0 => format::bytes(value as u64),
        // What stands in braces says what is counted, and is no unit.
        _ if unit.is_empty() || unit.starts_with('{') || unit == "1" => format::number(value),
        _ => format!("{} {unit}", format::number(value)),
    }
}
