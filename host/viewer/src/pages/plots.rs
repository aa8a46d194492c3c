//! Lines over time and bars of a histogram, as SVG.

use std::time::SystemTime;

use maud::{Markup, html};

use crate::pages::format;
use crate::params::escaped;
use crate::status::Histogram;

/// The width of a line's coordinates, and its height in pixels.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 56.0;

/// A line over time. `marks` are moments of it, from 0 to 1.
pub(crate) fn line(label: &str, values: &[Option<f64>], marks: &[f64]) -> Markup {
    let most = values.iter().flatten().copied().fold(0.0_f64, f64::max);
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let (mut path, mut area) = (String::new(), String::new());
    let mut is_drawn = false;
    for (at, value) in values.iter().enumerate() {
        let x = at as f64 * step;
        let Some(value) = value else {
            if is_drawn {
                area.push_str(&format!("V{HEIGHT}Z"));
            }
            is_drawn = false;
            continue;
        };
        let share = if most > 0.0 { value / most } else { 0.0 };
        let y = 2.0 + (HEIGHT - 4.0) * (1.0 - share);
        let command = if is_drawn { 'L' } else { 'M' };
        path.push_str(&format!("{command}{x:.1} {y:.1}"));
        if !is_drawn {
            area.push_str(&format!("M{x:.1} {HEIGHT}"));
        }
        area.push_str(&format!("L{x:.1} {y:.1}"));
        is_drawn = true;
    }
    if is_drawn {
        area.push_str(&format!("V{HEIGHT}Z"));
    }
    html! {
        svg.spark viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) width="100%" height=(HEIGHT)
            preserveAspectRatio="none" role="img" aria-label=(label) {
            @for mark in marks {
                @let x = format!("{:.1}", mark.clamp(0.0, 1.0) * WIDTH);
                line.mark x1=(x) x2=(x) y1="0" y2=(HEIGHT) vector-effect="non-scaling-stroke" {}
            }
            path.area d=(area) {}
            path.line d=(path) vector-effect="non-scaling-stroke" {}
        }
    }
}

/// Where moments are between the first and the last, from 0 to 1; others are left out.
pub(crate) fn marks(
    moments: impl Iterator<Item = SystemTime>,
    first: SystemTime,
    last: SystemTime,
) -> Vec<f64> {
    let whole = last.duration_since(first).unwrap_or_default().as_secs_f64();
    let within = moments.filter(|it| whole > 0.0 && *it <= last);
    within
        .filter_map(|it| it.duration_since(first).ok())
        .map(|since| since.as_secs_f64() / whole)
        .collect()
}

/// The buckets of a distribution of durations. Each leads to the traces in it.
pub(crate) fn durations(histogram: &Histogram) -> Markup {
    let most = histogram.counts.iter().copied().max().unwrap_or(0);
    let bounds = &histogram.bounds;
    let text = |bound: Option<&f64>| bound.map(|it| format::seconds(*it));
    html! {
        table.histogram {
            thead.hidden { tr { th scope="col" { "Duration" } th scope="col" { "Share" } th scope="col" { "Requests" } } }
            tbody {
                @for (at, count) in histogram.counts.iter().enumerate() {
                    @let lower = at.checked_sub(1).and_then(|it| bounds.get(it));
                    @let upper = bounds.get(at);
                    tr data-row {
                        th.number scope="row" {
                            a href=(traces_between(lower, upper)) title="Traces with these durations" {
                                @match text(upper) {
                                    Some(upper) => { "≤ " (upper) }
                                    None => { "> " (text(lower).unwrap_or_default()) }
                                }
                            }
                        }
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

fn traces_between(lower: Option<&f64>, upper: Option<&f64>) -> String {
    let millis = |bound: &f64| escaped(&format!("{}ms", bound * 1e3));
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
