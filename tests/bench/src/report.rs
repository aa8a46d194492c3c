//! What was demanded and what was measured: a table for people, JSON for programs.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::compare::{Figure, Rounds};

/// One thing that was demanded.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    check: String,
    bar: String,
    measured: String,
    passed: bool,
    /// What was measured as a number: seconds, bytes, a count or a ratio.
    value: Option<f64>,
    /// How sure it is: the spread of the median behind it, as a part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    spread: Option<f64>,
}

impl Check {
    /// A time that must not be exceeded.
    pub(crate) fn at_most(check: &str, bar: Duration, measured: Duration) -> Self {
        Self {
            check: check.to_owned(),
            bar: format!("at most {}", milliseconds(bar)),
            measured: milliseconds(measured),
            passed: measured <= bar,
            value: Some(measured.as_secs_f64()),
            spread: None,
        }
    }

    /// A time without a bar.
    pub(crate) fn time(check: &str, measured: Duration) -> Self {
        Self {
            check: check.to_owned(),
            bar: "-".to_owned(),
            measured: milliseconds(measured),
            passed: true,
            value: Some(measured.as_secs_f64()),
            spread: None,
        }
    }

    /// A ratio that must not be exceeded; `of` says what of.
    pub(crate) fn ratio_at_most(check: &str, bar: f64, measured: f64, of: &str) -> Self {
        Self {
            check: check.to_owned(),
            bar: format!("at most {}x", short(bar)),
            measured: format!("{measured:.2}x ({of})"),
            passed: measured <= bar,
            value: Some(measured),
            spread: None,
        }
    }

    /// A ratio that must be reached; `of` says what of.
    pub(crate) fn ratio_at_least(check: &str, bar: f64, measured: f64, of: &str) -> Self {
        Self {
            check: check.to_owned(),
            bar: format!("at least {}x", short(bar)),
            measured: format!("{measured:.2}x ({of})"),
            passed: measured >= bar,
            value: Some(measured),
            spread: None,
        }
    }

    /// Memory that must not be exceeded; none is a negative growth.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    pub(crate) fn bytes_at_most(check: &str, bar: u64, measured: i64) -> Self {
        Self {
            check: check.to_owned(),
            bar: format!("at most {}", size(bar as f64)),
            measured: size(measured as f64),
            passed: i64::try_from(bar).is_ok_and(|bar| measured <= bar),
            value: Some(measured as f64),
            spread: None,
        }
    }

    /// A count that must be just this.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    pub(crate) fn count(check: &str, bar: u64, measured: u64) -> Self {
        Self {
            check: check.to_owned(),
            bar: bar.to_string(),
            measured: measured.to_string(),
            passed: measured == bar,
            value: Some(measured as f64),
            spread: None,
        }
    }

    /// Something that holds or does not, with what was seen.
    pub(crate) fn holds(check: &str, bar: &str, seen: anyhow::Result<String>) -> Self {
        Self {
            check: check.to_owned(),
            bar: bar.to_owned(),
            passed: seen.is_ok(),
            measured: seen.unwrap_or_else(|error| format!("{error:#}")),
            value: None,
            spread: None,
        }
    }

    /// Something that is told, without a bar.
    pub(crate) fn shown(check: &str, said: &str) -> Self {
        Self {
            bar: "-".to_owned(),
            ..Self::holds(check, "-", Ok(said.to_owned()))
        }
    }

    /// The medians of a server's rounds; `figure` is the one that its spread is
    /// told of.
    pub(crate) fn figures(name: &str, rounds: &Rounds, figure: Figure) -> Self {
        Self {
            value: Some(rounds.median(figure)),
            ..Self::shown(name, &rounds.to_string()).with_spread(rounds.spread(figure))
        }
    }

    /// A ratio that may be so far from 1, as much below as above; `of` says what
    /// of.
    pub(crate) fn ratio_within(check: &str, bar: f64, measured: f64, of: &str) -> Self {
        Self {
            bar: format!("1 within {:.0}%", bar * 100.0),
            passed: (measured - 1.0).abs() <= bar,
            ..Self::ratio_at_most(check, bar, measured, of)
        }
    }

    /// What the second half of the way adds to a cost to what the first half
    /// does; none is a cost that hardly grows.
    pub(crate) fn growth(check: &str, bar: f64, measured: Option<f64>) -> Self {
        match measured {
            Some(ratio) => Self::ratio_at_most(check, bar, ratio, "second half to first"),
            None => Self {
                bar: format!("at most {}x", short(bar)),
                ..Self::shown(check, "hardly any")
            },
        }
    }

    /// The widest spread of what a part's bars rest on, after its rounds were run
    /// again so many times.
    pub(crate) fn spread(part: &str, bar: f64, name: &str, widest: f64, again: usize) -> Self {
        let percent = |part: f64| format!("{:.1}%", part * 100.0);
        Self {
            bar: format!("at most {}", percent(bar)),
            measured: format!("{} ({name}; run again {again} times)", percent(widest)),
            passed: widest <= bar,
            ..Self::holds(&format!("{part}: widest spread"), "", Ok(String::new()))
        }
        .with_spread(widest)
    }

    /// Adds how far the rounds behind it are apart.
    pub(crate) fn with_spread(self, spread: f64) -> Self {
        Self {
            spread: Some(spread),
            ..self
        }
    }

    /// What is said of it in a table: nothing where there is no bar.
    fn word(&self) -> &'static str {
        match (self.passed, self.bar.as_str()) {
            (false, _) => "FAIL",
            (true, "-") => "",
            (true, _) => "pass",
        }
    }

    #[cfg(test)]
    pub(crate) fn passed(&self) -> bool {
        self.passed
    }
}

/// A bar with as many digits as it needs, and not more than two behind the point.
fn short(bar: f64) -> f64 {
    (bar * 100.0).round() / 100.0
}

/// Bytes in the unit that suits them.
fn size(bytes: f64) -> String {
    const MEBIBYTE: f64 = 1024.0 * 1024.0;
    match bytes.abs() < MEBIBYTE {
        true => format!("{:.1} KiB", bytes / 1024.0),
        false => format!("{:.1} MiB", bytes / MEBIBYTE),
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// All checks of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    checks: Vec<Check>,
    /// What was measured on and how, and what else came of a part.
    #[serde(flatten)]
    details: Map<String, Value>,
}

impl Report {
    /// Whether every check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Keeps more than the checks, for programs.
    pub(crate) fn keep(&mut self, name: &str, value: impl Serialize) -> anyhow::Result<()> {
        let value = serde_json::to_value(value)?;
        self.details.insert(name.to_owned(), value);
        Ok(())
    }

    /// Takes in what a part measured; where it broke down, that is a failure.
    pub(crate) fn add(&mut self, part: &str, checks: anyhow::Result<Vec<Check>>) {
        let checks = checks
            .unwrap_or_else(|error| vec![Check::holds(part, "it can be measured", Err(error))]);
        for check in &checks {
            eprintln!("  {check}");
        }
        self.checks.extend(checks);
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        write!(
            f,
            "{word}  {}: {} ({})",
            self.check, self.measured, self.bar
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Check) -> &str, name: &str| {
            let lengths = self.checks.iter().map(|check| of(check).chars().count());
            lengths.max().unwrap_or(0).max(name.len())
        };
        let check = width(|it| &it.check, "check");
        let bar = width(|it| &it.bar, "bar");
        writeln!(
            f,
            "{:check$}  {:bar$}  {:4}  {:6}  measured",
            "check", "bar", "", "spread"
        )?;
        for it in &self.checks {
            let spread = it.spread.map(|spread| format!("{:.1}%", spread * 100.0));
            writeln!(
                f,
                "{:check$}  {:bar$}  {:4}  {:>6}  {}",
                it.check,
                it.bar,
                it.word(),
                spread.unwrap_or_default(),
                it.measured
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Check, Report};

    #[test]
    fn one_check_that_fails_fails_the_report() {
        let mut report = Report::default();
        let fast = Check::at_most("fast", Duration::from_millis(5), Duration::from_millis(4));
        report.add("times", Ok(vec![fast.clone()]));
        assert!(report.passed());
        let slow = Check::at_most("slow", Duration::from_millis(5), Duration::from_millis(6));
        report.add("times", Ok(vec![slow]));
        assert!(!report.passed());
    }

    #[test]
    fn a_part_that_breaks_down_is_a_failure() {
        let mut report = Report::default();
        report.add("swaps", Err(anyhow::anyhow!("no server")));
        assert!(!report.passed());
        assert!(report.to_string().contains("no server"));
    }

    #[test]
    fn a_ratio_may_be_as_far_below_one_as_above() {
        let passes = |ratio| Check::ratio_within("shape", 0.15, ratio, "").passed;
        assert!(passes(0.86) && passes(1.14));
        assert!(!passes(0.84) && !passes(1.16) && !passes(f64::NAN));
    }

    #[test]
    fn what_is_not_a_number_reaches_no_bar() {
        assert!(!Check::ratio_at_least("rate", 0.5, f64::NAN, "").passed);
        assert!(!Check::ratio_at_most("p99", 2.0, f64::NAN, "").passed);
        assert!(!Check::spread("rounds", 0.1, "rate", f64::NAN, 3).passed);
        assert!(!Check::growth("cost", 1.5, Some(f64::INFINITY)).passed);
        assert!(Check::growth("cost", 1.5, None).passed);
    }

    #[test]
    fn the_table_tells_the_spread_and_what_has_no_bar() {
        let mut report = Report::default();
        let ratio = Check::ratio_at_least("rate", 0.5, 0.6, "6 of 10").with_spread(0.034);
        report.add("rates", Ok(vec![ratio, Check::shown("seen", "a lot")]));
        let table = report.to_string();
        assert!(table.contains("pass    3.4%  0.60x (6 of 10)"), "{table}");
        assert!(!table.lines().last().unwrap().contains("pass"), "{table}");
    }

    #[test]
    fn memory_that_shrank_is_within_any_bar() {
        assert!(Check::bytes_at_most("memory", 0, -1).passed);
        assert!(!Check::bytes_at_most("memory", 1, 2).passed);
    }
}
