//! Writes families as text, in Prometheus' format or in OpenMetrics.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use crate::metrics::prometheus::family::{Exemplar, Family, Kind, Label, Series, Value};

/// A format in which metrics are scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0, which has units and exemplars as well.
    OpenMetrics,
}

impl TextFormat {
    /// The media type, for `content-type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    pub(crate) fn write(self, families: &[Family]) -> String {
        let mut writer = Writer {
            format: self,
            text: String::new(),
        };
        match self {
            Self::Prometheus => {
                for family in families {
                    let kind = match family.kind {
                        Kind::Counter => "counter",
                        Kind::Gauge | Kind::Info => "gauge",
                        Kind::Histogram => "histogram",
                    };
                    writer.family(family, &family.name, kind);
                }
            }
            Self::OpenMetrics => {
                let names: HashSet<_> = families.iter().flat_map(Family::names).collect();
                for family in families {
                    let (name, kind) = in_open_metrics(family, &names);
                    writer.family(family, name, kind);
                }
                writer.text.push_str("# EOF\n");
            }
        }
        writer.text
    }
}

/// The name and type of a family in OpenMetrics, where a counter is called by the
/// name without `_total`. If another metric has that name, the type is left open.
fn in_open_metrics<'a>(family: &'a Family, names: &HashSet<String>) -> (&'a str, &'static str) {
    let (suffix, kind, otherwise) = match family.kind {
        Kind::Counter => ("_total", "counter", "unknown"),
        Kind::Info => ("_info", "info", "gauge"),
        Kind::Gauge => return (&family.name, "gauge"),
        Kind::Histogram => return (&family.name, "histogram"),
    };
    let name = family.name.strip_suffix(suffix).filter(|name| {
        let is_taken = names.contains(*name) || names.contains(&format!("{name}_created"));
        !is_taken
    });
    match name {
        Some(name) => (name, kind),
        None => (&family.name, otherwise),
    }
}

struct Writer {
    format: TextFormat,
    text: String,
}

impl Writer {
    fn family(&mut self, family: &Family, name: &str, kind: &str) {
        let is_open_metrics = self.format == TextFormat::OpenMetrics;
        if !family.help.is_empty() {
            self.line_start("# HELP ", name);
            self.text.push(' ');
            self.escaped(&family.help, is_open_metrics);
            self.text.push('\n');
        }
        self.line_start("# TYPE ", name);
        self.text.push(' ');
        self.text.push_str(kind);
        self.text.push('\n');
        if let Some(unit) = family.unit.as_ref().filter(|_| is_open_metrics)
            && name.ends_with(unit.as_str())
        {
            self.line_start("# UNIT ", name);
            self.text.push(' ');
            self.text.push_str(unit);
            self.text.push('\n');
        }
        for series in &family.series {
            self.series(&family.name, series);
        }
    }

    fn series(&mut self, name: &str, series: &Series) {
        let labels = &series.labels;
        let (buckets, sum, count, exemplars) = match &series.value {
            Value::Number(value) => {
                self.sample(name, "", labels, None);
                self.number(*value);
                self.text.push('\n');
                return;
            }
            Value::Histogram {
                buckets,
                sum,
                count,
                exemplars,
            } => (buckets, sum, count, exemplars),
        };
        let bounds = buckets
            .iter()
            .map(|it| (it.upper_bound, it.cumulative_count));
        let last = (f64::INFINITY, *count);
        for (n, (bound, count)) in bounds.chain([last]).enumerate() {
            self.sample(name, "_bucket", labels, Some(bound));
            self.text.push_str(&count.to_string());
            if let Some(Some(exemplar)) = exemplars.get(n) {
                self.exemplar(exemplar);
            }
            self.text.push('\n');
        }
        self.sample(name, "_sum", labels, None);
        self.number(*sum);
        self.text.push('\n');
        self.sample(name, "_count", labels, None);
        self.text.push_str(&count.to_string());
        self.text.push('\n');
    }

    /// Writes a sample up to its value.
    fn sample(&mut self, name: &str, suffix: &str, labels: &[Label], bound: Option<f64>) {
        self.line_start(name, suffix);
        let mut separator = '{';
        for label in labels {
            self.text.push(separator);
            separator = ',';
            self.text.push_str(&label.name);
            self.text.push_str("=\"");
            self.escaped(&label.value, true);
            self.text.push('"');
        }
        if let Some(bound) = bound {
            self.text.push(separator);
            separator = ',';
            self.text.push_str("le=\"");
            self.number(bound);
            self.text.push('"');
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        if self.format == TextFormat::Prometheus {
            return;
        }
        // Before 1970 a clock is as wrong as at 1970.
        let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = write!(
            self.text,
            " # {{trace_id=\"{}\",span_id=\"{}\"}} ",
            exemplar.trace_id, exemplar.span_id
        );
        self.number(exemplar.value);
        let _ = write!(self.text, " {}.{:03}", at.as_secs(), at.subsec_millis());
    }

    fn line_start(&mut self, first: &str, second: &str) {
        self.text.push_str(first);
        self.text.push_str(second);
    }

    fn escaped(&mut self, text: &str, quotes: bool) {
        for c in text.chars() {
            match c {
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '"' if quotes => self.text.push_str("\\\""),
                c => self.text.push(c),
            }
        }
    }

    fn number(&mut self, value: f64) {
        let text = if value.is_nan() {
            "NaN".to_owned()
        } else if value.is_infinite() {
            let sign = if value > 0.0 { '+' } else { '-' };
            format!("{sign}Inf")
        } else {
            match self.format {
                TextFormat::Prometheus => value.to_string(),
                TextFormat::OpenMetrics => canonical(value),
            }
        };
        self.text.push_str(&text);
    }
}

/// A finite number as OpenMetrics would have it, which is as Go prints it: a bound
/// has to be the same text wherever it comes from.
fn canonical(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) && value != 0.0 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    // `{:?}` has `.0` at the end of an integer.
    format!("{value:?}")
}
