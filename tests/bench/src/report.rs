//! What was demanded and what was measured: a table for people, JSON for programs.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

/// One thing that was demanded.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    check: String,
    bar: String,
    measured: String,
    passed: bool,
    /// What was measured as a number: seconds, bytes, a count or a ratio.
    value: Option<f64>,
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
        }
    }

    /// A ratio that must not be exceeded; `of` says what of.
    pub(crate) fn ratio_at_most(check: &str, bar: f64, measured: f64, of: &str) -> Self {
        Self {
            check: check.to_owned(),
            bar: format!("at most {bar}x"),
            measured: format!("{measured:.2}x ({of})"),
            passed: measured <= bar,
            value: Some(measured),
        }
    }

    /// A ratio that must be reached; `of` says what of.
    pub(crate) fn ratio_at_least(check: &str, bar: f64, measured: f64, of: &str) -> Self {
        Self {
            check: check.to_owned(),
            bar: format!("at least {bar}x"),
            measured: format!("{measured:.2}x ({of})"),
            passed: measured >= bar,
            value: Some(measured),
        }
    }

    /// Memory that must not be exceeded; none is a negative growth.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    pub(crate) fn bytes_at_most(check: &str, bar: u64, measured: i64) -> Self {
        let mebibytes = |bytes: f64| format!("{:.1} MiB", bytes / 1024.0 / 1024.0);
        Self {
            check: check.to_owned(),
            bar: format!("at most {}", mebibytes(bar as f64)),
            measured: mebibytes(measured as f64),
            passed: i64::try_from(bar).is_ok_and(|bar| measured <= bar),
            value: Some(measured as f64),
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
        }
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// All checks of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    checks: Vec<Check>,
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
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
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
        let passed = if self.passed { "pass" } else { "FAIL" };
        write!(
            f,
            "{passed}  {}: {} ({})",
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
        writeln!(f, "{:check$}  {:bar$}  {:4}  measured", "check", "bar", "")?;
        for it in &self.checks {
            let passed = if it.passed { "pass" } else { "FAIL" };
            writeln!(
                f,
                "{:check$}  {:bar$}  {passed}  {}",
                it.check, it.bar, it.measured
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
    fn memory_that_shrank_is_within_any_bar() {
        assert!(Check::bytes_at_most("memory", 0, -1).passed);
        assert!(!Check::bytes_at_most("memory", 1, 2).passed);
    }
}
