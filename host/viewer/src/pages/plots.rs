//! Lines over time and bars of a histogram, as SVG.

use maud::{Markup, html};

use crate::pages::format;
use crate::pages::marks::{self, Mark};
use crate::params::escaped;
use crate::status::Histogram;

/// The width of a line's coordinates, and its height in pixels.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 60.0;
/// What of the height is above the highest step: there the names of marks stand.
const TOP: f64 = 14.0;

/// The least distance of the names of two marks, as a share of the width.
const NAMES: f64 = 0.3;

/// A value over a part of the time of a plot.
pub(crate) struct Step {
    /// From 0 to 1.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// `None` where it is not known.
    pub(crate) value: Option<f64>,
}

/// A line over time that has a step for each value.
pub(crate) fn steps(name: &str, steps: &[Step], marks: &[Mark]) -> Markup {
    let known = || steps.iter().filter_map(|it| it.value);
    let most = known().fold(0.0_f64, f64::max);
    let (mut path, mut area) = (String::new(), String::new());
    let mut is_drawn = false;
    for step in steps {
        let Some(value) = step.value else {
            if is_drawn {
                area.push_str(&format!("V{HEIGHT}Z"));
            }
            is_drawn = false;
            continue;
        };
        let share = if most > 0.0 { value / most } else { 0.0 };
        let y = TOP + (HEIGHT - TOP - 2.0) * (1.0 - share.clamp(0.0, 1.0));
        let (from, to) = (step.from * WIDTH, step.to * WIDTH);
        if is_drawn {
            path.push_str(&format!("V{y:.1}H{to:.1}"));
            area.push_str(&format!("V{y:.1}H{to:.1}"));
        } else {
            path.push_str(&format!("M{from:.1} {y:.1}H{to:.1}"));
            area.push_str(&format!("M{from:.1} {HEIGHT}V{y:.1}H{to:.1}"));
        }
        is_drawn = true;
    }
    if is_drawn {
        area.push_str(&format!("V{HEIGHT}Z"));
    }
    let mut label = format!("{name} over the last minutes");
    for mark in marks {
        label.push_str("; ");
        label.push_str(&mark.title);
    }
    html! {
        svg.spark width="100%" height=(HEIGHT) role="img" aria-label=(label) {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) width="100%" height=(HEIGHT)
                preserveAspectRatio="none" {
                path.area d=(area) {}
                path.line d=(path) vector-effect="non-scaling-stroke" {}
            }
            (marks::draw(marks, HEIGHT, NAMES, |it| it))
        }
    }
}

/// The buckets of a distribution of requests' durations. Each leads to the traces in it.
pub(crate) fn durations(histogram: &Histogram) -> Markup {
    let heading = |lower: Option<f64>, upper: Option<f64>| {
        html! {
            a href=(traces_between(lower, upper)) title="Traces with these durations" {
                (range(lower, upper, &format::seconds))
            }
        }
    };
    bars(histogram, "Requests", heading)
}

/// The buckets of a distribution whose values are written by `shown`.
pub(crate) fn buckets(histogram: &Histogram, shown: impl Fn(f64) -> String) -> Markup {
    bars(histogram, "Values", |lower, upper| {
        html! { (range(lower, upper, &shown)) }
    })
}

fn range(lower: Option<f64>, upper: Option<f64>, shown: &dyn Fn(f64) -> String) -> String {
    match (lower, upper) {
        (_, Some(upper)) => format!("≤ {}", shown(upper)),
        (Some(lower), None) => format!("> {}", shown(lower)),
        (None, None) => "all".to_owned(),
    }
}

fn bars(
    histogram: &Histogram,
    counted: &str,
    heading: impl Fn(Option<f64>, Option<f64>) -> Markup,
) -> Markup {
    let most = histogram.counts.iter().copied().max().unwrap_or(0);
    let bound = |at: usize| histogram.bounds.get(at).copied();
    html! {
        table.histogram {
            thead.hidden { tr { th scope="col" { "Up to" } th scope="col" { "Share" } th scope="col" { (counted) } } }
            tbody {
                @for (at, count) in histogram.counts.iter().enumerate() {
                    tr data-row {
                        th.number scope="row" { (heading(at.checked_sub(1).and_then(bound), bound(at))) }
                        td.bars {
                            svg width="100%" height="12" aria-hidden="true" {
                                rect.host x="0" y="1" height="10" rx="2"
                                    width=(format::percent(format::share(*count, most))) {}
                            }
                        }
                        td.number { (format::count(*count)) }
                    }
                }
            }
        }
    }
}

fn traces_between(lower: Option<f64>, upper: Option<f64>) -> String {
    let millis = |bound: f64| escaped(&format!("{}ms", bound * 1e3));
    let mut link = "/?sort=slowest".to_owned();
    if let Some(lower) = lower {
        link.push_str("&min=");
        link.push_str(&millis(lower));
    }
    if let Some(upper) = upper {
        link.push_str("&max=");
        link.push_str(&millis(upper));
    }
    link
}
