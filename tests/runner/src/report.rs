//! What people read while a trial runs. Counts what differs.

use std::fmt;
use std::io::Write;
use std::time::Duration;

/// Writes a trial's course and keeps its verdict.
pub struct Report<'a> {
    out: Box<dyn Write + Send + 'a>,
    checks: usize,
    failures: usize,
}

impl<'a> Report<'a> {
    /// Makes one that nothing failed in yet.
    #[must_use]
    pub fn new(out: impl Write + Send + 'a) -> Self {
        Self {
            out: Box::new(out),
            checks: 0,
            failures: 0,
        }
    }

    /// Writes the title of a section.
    pub fn section(&mut self, title: impl fmt::Display) {
        self.line(format_args!("\n{title}"));
    }

    /// Writes a line of a section.
    pub fn note(&mut self, text: impl fmt::Display) {
        self.line(format_args!("  {text}"));
    }

    /// Writes what was checked, and below it each difference. Without one it is
    /// passed.
    pub fn check(&mut self, what: impl fmt::Display, differences: &[String]) {
        self.checks += 1;
        if differences.is_empty() {
            self.line(format_args!("  ok    {what}"));
            return;
        }
        self.failures += 1;
        self.line(format_args!("  FAIL  {what}"));
        for difference in differences {
            self.line(format_args!("          {difference}"));
        }
    }

    /// Writes the verdict; true when nothing differed.
    pub fn verdict(mut self) -> bool {
        let Self {
            checks, failures, ..
        } = self;
        match failures {
            0 => self.line(format_args!("\nAll {checks} checks passed.")),
            _ => self.line(format_args!("\n{failures} of {checks} checks failed.")),
        }
        failures == 0
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        // Whoever stopped reading still gets the exit code.
        let _ = writeln!(self.out, "{text}");
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("checks", &self.checks)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

/// Writes a duration in milliseconds, right-aligned: `  184.3 ms`.
#[must_use]
pub fn millis(duration: Duration) -> String {
    format!("{:>7.1} ms", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn one_difference_turns_the_verdict() {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out);
        report.section("Endpoints");
        report.check("GET /", &[]);
        report.check("GET /health", &["status: expected 200, got 404".to_owned()]);
        assert!(!report.verdict());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\nEndpoints\n  ok    GET /\n  FAIL  GET /health\n          \
             status: expected 200, got 404\n\n1 of 2 checks failed.\n"
        );
    }

    #[test]
    fn without_a_difference_it_is_passed() {
        let mut report = Report::new(std::io::sink());
        report.check("GET /", &[]);
        assert!(report.verdict());
    }
}
