//! Marks of plots over time: a vertical line where another version of the component
//! began to serve, with its name.

use std::time::SystemTime;

use maud::{Markup, html};

use crate::pages::format;
use crate::pages::layout::Context;
use crate::status::{SwapOutcome, SwapRecord};

/// Marks of a plot; of more, the newest are shown.
const MAX_MARKS: usize = 20;
/// Characters of a name in a plot. The mark's title has all of it.
const MAX_NAME: usize = 14;
/// Names to the right of this place stand to the left of their line.
const TURN: f64 = 0.6;

/// A swap or a rollback.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    /// Its place in the plot's time, from 0 to 1.
    share: f64,
    name: String,
    /// What happened.
    pub(crate) title: String,
}

/// The swaps and rollbacks between two moments, the oldest first.
pub(crate) fn between(context: &Context<'_>, from: SystemTime, to: SystemTime) -> Vec<Mark> {
    let whole = to.duration_since(from).unwrap_or_default().as_secs_f64();
    let history = context.host.component().history;
    let within = history.iter().filter(|it| (from..=to).contains(&it.at));
    let marks = within.filter_map(|record| {
        let since = record.at.duration_since(from).ok()?.as_secs_f64();
        mark(record, if whole > 0.0 { since / whole } else { 0.5 })
    });
    let mut marks: Vec<_> = marks.take(MAX_MARKS).collect();
    marks.reverse();
    marks
}

fn mark(record: &SwapRecord, share: f64) -> Option<Mark> {
    let happened = match record.outcome {
        SwapOutcome::Swapped => "Swapped to",
        SwapOutcome::RolledBack => "Rolled back to",
        SwapOutcome::Unchanged | SwapOutcome::Refused | SwapOutcome::Superseded => return None,
    };
    let mut name = record.version.clone();
    if let Some((end, _)) = name.char_indices().nth(MAX_NAME) {
        name.truncate(end);
        name.push('…');
    }
    let generation = record.generation.map(|it| format!(" #{it}"));
    let generation = generation.unwrap_or_default();
    Some(Mark {
        share,
        name,
        title: format!("{happened} {}{generation}", record.version),
    })
}

/// Draws marks into a plot whose circles or steps are at `place` of their time's share.
/// A name that is nearer to another one than `distance` is left out.
pub(crate) fn draw(
    marks: &[Mark],
    height: f64,
    distance: f64,
    place: impl Fn(f64) -> f64,
) -> Markup {
    // Of two that stand close together, the newer one keeps its name.
    let mut named = vec![false; marks.len()];
    let mut last = f64::INFINITY;
    for (mark, is_named) in marks.iter().zip(&mut named).rev() {
        *is_named = last - mark.share >= distance;
        if *is_named {
            last = mark.share;
        }
    }
    html! {
        @for (mark, is_named) in marks.iter().zip(named) {
            @let x = format::percent(place(mark.share));
            g.mark role="img" aria-label=(mark.title) {
                title { (mark.title) }
                line x1=(x) x2=(x) y1="0" y2=(height) {}
                @if is_named {
                    @let (anchor, dx) = if mark.share > TURN { ("end", "-4") } else { ("start", "4") };
                    text x=(x) y="10" dx=(dx) text-anchor=(anchor) { (mark.name) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, draw};

    #[test]
    fn names_that_would_overlap_are_left_out_and_lines_stay() {
        let mark = |share, name: &str| Mark {
            share,
            name: name.to_owned(),
            title: format!("Swapped to {name}"),
        };
        let marks = [mark(0.1, "one"), mark(0.5, "two"), mark(0.55, "three")];
        let drawn = draw(&marks, 50.0, 0.2, |it| it).into_string();
        assert_eq!(drawn.matches("<line").count(), 3);
        assert!(drawn.contains(">one</text>") && drawn.contains(">three</text>"));
        assert!(!drawn.contains(">two</text>") && drawn.contains("Swapped to two"));
    }
}
