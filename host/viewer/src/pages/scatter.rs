//! Durations over time. Each circle is a link to its trace; a script lets the reader
//! choose a part of the plot.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use maud::{Markup, html};

use crate::pages::layout::Context;
use crate::pages::{format, marks};
use crate::store::traces::Trace;

/// Circles of a plot.
pub(crate) const MAX_POINTS: usize = 500;
/// The height in pixels, and what of it is above and below the circles.
const HEIGHT: f64 = 116.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 10.0;

/// The least distance of the names of two marks, as a share of the width.
const NAMES: f64 = 0.1;

/// The plot of these traces.
pub(crate) fn plot(traces: &[Arc<Trace>], context: &Context<'_>) -> Markup {
    let durations = || traces.iter().map(|it| it.duration().max(1));
    let (Some(shortest), Some(longest)) = (durations().min(), durations().max()) else {
        return html! {};
    };
    let from = traces.iter().map(|it| it.start).min().unwrap_or(0);
    let to = traces
        .iter()
        .map(|it| it.start)
        .max()
        .unwrap_or(0)
        .max(from.saturating_add(1));
    let axis = Axis::new(shortest, longest);
    let at = |nanos| UNIX_EPOCH + Duration::from_nanos(nanos);
    let marks = marks::between(context, at(from), at(to));
    let link = context
        .params
        .with(&[
            ("from", ""),
            ("to", ""),
            ("min", ""),
            ("max", ""),
            ("after", ""),
        ])
        .link("/");
    html! {
        div.plot {
            svg.durations width="100%" height=(HEIGHT) aria-hidden="true" {
                @for decade in axis.decades() {
                    text.tick x="100%" y=(format!("{:.1}", axis.pixels(decade) + 4.0))
                        text-anchor="end" { (format::power_of_ten(decade)) }
                }
            }
            svg.scatter width="100%" height=(HEIGHT) role="group"
                aria-label="Durations over time; each circle is a trace"
                data-from=(from) data-to=(to) data-low=(axis.low) data-high=(axis.high)
                data-top=(TOP) data-bottom=(BOTTOM) data-link=(link) {
                @for decade in axis.decades() {
                    @let y = axis.y(decade);
                    line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                }
                (marks::draw(&marks, HEIGHT, NAMES, place))
                rect.brush x="0" y="0" width="0" height="0" {}
                @for trace in traces { (circle(trace, from, to, &axis)) }
            }
            div.times { (format::time(from)) (format::time(to)) }
        }
    }
}

/// The place of a share of the time: the first circle and the last are whole.
fn place(share: f64) -> f64 {
    0.01 + 0.98 * share
}

fn circle(trace: &Trace, from: u64, to: u64, axis: &Axis) -> Markup {
    let summary = trace.summary();
    let label = format!(
        "{} {}, {}",
        summary.method,
        summary.target(),
        format::duration(trace.duration()),
    );
    let x = place(format::share(trace.start - from, to - from));
    html! {
        a href=(format!("/ui/trace/{:032x}", trace.id)) tabindex="-1" aria-label=(label) {
            circle .failed[trace.is_failed] r="3.5" cx=(format::percent(x))
                cy=(axis.y(trace.duration())) { title { (label) } }
        }
    }
}

/// The logarithmic axis of durations.
struct Axis {
    /// Logarithms to the base 10.
    low: f64,
    high: f64,
}

impl Axis {
    fn new(shortest: u64, longest: u64) -> Self {
        let (low, high) = ((shortest as f64).log10(), (longest as f64).log10());
        // One duration alone stands in the middle.
        let missing = (1.0 - (high - low)).max(0.0) / 2.0;
        Self {
            low: low - missing,
            high: high + missing,
        }
    }

    fn pixels(&self, duration: u64) -> f64 {
        let share = ((duration.max(1) as f64).log10() - self.low) / (self.high - self.low);
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share.clamp(0.0, 1.0))
    }

    fn y(&self, duration: u64) -> String {
        format!("{:.1}", self.pixels(duration))
    }

    /// The powers of ten within it.
    fn decades(&self) -> impl Iterator<Item = u64> {
        let powers = (0..19).map(|it| 10_u64.pow(it));
        let (low, high) = (self.low, self.high);
        powers.filter(move |it| (low..=high).contains(&(*it as f64).log10()))
    }
}
