//! Plots for people, as SVG.

use std::path::Path;

use anyhow::Context;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

const SIZE: (u32, u32) = (860, 480);
const FONT: &str = "sans-serif";
const GREY: RGBColor = RGBColor(150, 150, 150);
/// Told apart by those who see few colours as well (Okabe and Ito's).
const COLORS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// Lines over one axis.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

/// What an axis says, and whether a step on it adds or doubles.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    label: String,
    scale: Scale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// From zero.
    Linear,
    /// From one.
    Doubling,
}

/// One line and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Bars, one below the other.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) bars: Vec<(String, f64)>,
}

impl Axis {
    pub(crate) fn linear(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            scale: Scale::Linear,
        }
    }

    pub(crate) fn doubling(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            scale: Scale::Doubling,
        }
    }

    /// Where a value stands.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Doubling => value.max(1.0).log2(),
        }
    }

    fn value(&self, place: f64) -> f64 {
        match self.scale {
            Scale::Linear => place,
            Scale::Doubling => place.exp2(),
        }
    }

    /// Where the marks stand, up to what is over the greatest value.
    fn marks(&self, greatest: f64) -> Vec<f64> {
        let end = self.place(greatest);
        let step = match self.scale {
            Scale::Linear => round_step(end),
            Scale::Doubling => (end / 6.0).ceil().max(1.0),
        };
        let mut marks = vec![0.0];
        let mut at = 0.0;
        while at < end {
            at += step;
            marks.push(at);
        }
        marks
    }
}

/// The step that makes about six of it up to there: 1, 2, 2.5 or 5 times a power
/// of ten.
fn round_step(end: f64) -> f64 {
    if end <= 0.0 {
        return 1.0;
    }
    let rough = end / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0].map(|it| it * power);
    let step = steps.into_iter().find(|step| *step >= rough);
    step.unwrap_or(10.0 * power)
}

/// A number with its thousands apart.
fn number(value: f64) -> String {
    if value.fract() != 0.0 && value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Plot {
    /// Writes it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let drawn = self.draw(path).map_err(anyhow::Error::msg);
        drawn.with_context(|| format!("cannot write {}", path.display()))
    }

    /// With the library's errors as text: they are not for other threads.
    fn draw(&self, path: &Path) -> Result<(), String> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(text)?;
        let greatest = |of: fn(&(f64, f64)) -> f64| {
            let points = self.lines.iter().flat_map(|line| &line.points);
            points.map(of).fold(0.0, f64::max)
        };
        let (x, y) = (
            self.x.marks(greatest(|it| it.0)),
            self.y.marks(greatest(|it| it.1)),
        );
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, (FONT, 22))
            .margin(18)
            .margin_right(40)
            .set_label_area_size(LabelAreaPosition::Left, 86)
            .set_label_area_size(LabelAreaPosition::Bottom, 56)
            .build_cartesian_2d(Marks(x.clone()), Marks(y.clone()))
            .map_err(text)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .axis_style(BLACK.mix(0.6))
            .x_labels(x.len())
            .y_labels(y.len())
            .x_label_formatter(&|place| number(self.x.value(*place)))
            .y_label_formatter(&|place| number(self.y.value(*place)))
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .label_style((FONT, 15))
            .axis_desc_style((FONT, 16))
            .draw()
            .map_err(text)?;
        for (line, color) in self.lines.iter().zip(COLORS.iter().cycle()) {
            let places = line.points.iter();
            let places: Vec<_> = places
                .map(|(x, y)| (self.x.place(*x), self.y.place(*y)))
                .collect();
            chart
                .draw_series(LineSeries::new(places.clone(), color.stroke_width(2)))
                .map_err(text)?
                .label(&line.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 22, y)], color.stroke_width(3))
                });
            let dots = places.into_iter();
            chart
                .draw_series(dots.map(|place| Circle::new(place, 4, color.filled())))
                .map_err(text)?;
        }
        if self.lines.len() > 1 {
            chart
                .configure_series_labels()
                .position(self.legend())
                .background_style(WHITE.mix(0.9))
                .border_style(BLACK.mix(0.2))
                .label_font((FONT, 15))
                .draw()
                .map_err(text)?;
        }
        area.present().map_err(text)
    }

    /// Where the names stand: away from where the lines are high.
    fn legend(&self) -> SeriesLabelPosition {
        let firsts = self.lines.iter().filter_map(|line| line.points.first());
        let lasts = self.lines.iter().filter_map(|line| line.points.last());
        let highest = |height: f64, (_, y): &(f64, f64)| height.max(*y);
        match lasts.fold(0.0, highest) > firsts.fold(0.0, highest) {
            true => SeriesLabelPosition::UpperLeft,
            false => SeriesLabelPosition::UpperRight,
        }
    }
}

impl Bars {
    /// Writes them.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let drawn = self.draw(path).map_err(anyhow::Error::msg);
        drawn.with_context(|| format!("cannot write {}", path.display()))
    }

    fn draw(&self, path: &Path) -> Result<(), String> {
        const ROW: i32 = 48;
        const LEFT: i32 = 220;
        const TOP: i32 = 60;
        const LONGEST: f64 = 520.0;

        let rows = i32::try_from(self.bars.len()).unwrap_or(0);
        let height = TOP + rows * ROW + 12;
        let size = (SIZE.0, height.unsigned_abs());
        let area = SVGBackend::new(path, size).into_drawing_area();
        area.fill(&WHITE).map_err(text)?;
        let write = |said: &str, at: (i32, i32), size: i32| {
            let style = TextStyle::from((FONT, size).into_font());
            area.draw(&Text::new(said.to_owned(), at, style))
                .map_err(text)
        };
        write(&self.title, (24, 18), 22)?;
        let greatest = self.bars.iter().map(|bar| bar.1).fold(1.0, f64::max);
        for (row, (name, value)) in (0..).zip(&self.bars) {
            let top = TOP + row * ROW;
            #[expect(clippy::cast_possible_truncation, reason = "within the picture")]
            let right = LEFT + (value / greatest * LONGEST) as i32;
            let color = match name.starts_with("fanlight") {
                true => COLORS[0],
                false => GREY,
            };
            let bar = Rectangle::new([(LEFT, top), (right, top + 30)], color.filled());
            area.draw(&bar).map_err(text)?;
            write(name, (24, top + 7), 16)?;
            write(&number(value.round()), (right + 10, top + 7), 16)?;
        }
        area.present().map_err(text)
    }
}

/// An axis that is as long as its marks go, which are where we say.
struct Marks(Vec<f64>);

impl Ranged for Marks {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let part = value / self.range().end;
        #[expect(clippy::cast_possible_truncation, reason = "within the picture")]
        let along = (part * f64::from(to - from)).round() as i32;
        from + along
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The library asks for finer ones as well: there are none.
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.0.clone(),
        }
    }

    fn range(&self) -> std::ops::Range<f64> {
        let end = self.0.last().copied().filter(|end| *end > 0.0);
        0.0..end.unwrap_or(1.0)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::{Axis, Bars, Line, Plot, SeriesLabelPosition, number, round_step};

    #[test]
    fn marks_are_round_and_reach_over_the_greatest_value() {
        assert_eq!(round_step(80.0), 20.0);
        assert_eq!(round_step(52_000.0), 10_000.0);
        assert_eq!(Axis::linear("").marks(52.0).last(), Some(&60.0));
        assert_eq!(Axis::linear("").marks(0.0), [0.0]);
        let doubling = Axis::doubling("");
        let values: Vec<_> = doubling.marks(4_096.0);
        assert_eq!(values.last(), Some(&12.0));
        assert_eq!(doubling.value(12.0), 4_096.0);
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        assert_eq!(number(0.0), "0");
        assert_eq!(number(2.5), "2.5");
        assert_eq!(number(52_000.0), "52,000");
        assert_eq!(number(1_234_567.0), "1,234,567");
    }

    #[test]
    fn a_plot_says_what_its_axes_and_lines_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        let line = |name: &str| Line {
            name: name.to_owned(),
            points: vec![(1.0, 10.0), (64.0, 700.0), (4_096.0, 500.0)],
        };
        Plot {
            title: "How it goes".to_owned(),
            x: Axis::doubling("connections"),
            y: Axis::linear("requests a second"),
            lines: vec![line("ours"), line("theirs")],
        }
        .write(&path)
        .unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for said in ["How it goes", "connections", "4,096", "ours", "theirs"] {
            assert!(svg.contains(said), "{said}");
        }
    }

    #[test]
    fn names_stand_away_from_where_the_lines_are_high() {
        let plot = |points: &[(f64, f64)]| Plot {
            title: String::new(),
            x: Axis::linear(""),
            y: Axis::linear(""),
            lines: vec![Line {
                name: String::new(),
                points: points.to_vec(),
            }],
        };
        let rising = plot(&[(0.0, 1.0), (1.0, 9.0)]).legend();
        let falling = plot(&[(0.0, 9.0), (1.0, 1.0)]).legend();
        assert!(matches!(rising, SeriesLabelPosition::UpperLeft));
        assert!(matches!(falling, SeriesLabelPosition::UpperRight));
    }

    #[test]
    fn bars_say_how_much_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.svg");
        Bars {
            title: "How much".to_owned(),
            bars: vec![("fanlight".to_owned(), 52_000.4), ("other".to_owned(), 7.0)],
        }
        .write(&path)
        .unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.contains("52,000") && svg.contains("other"));
    }
}
