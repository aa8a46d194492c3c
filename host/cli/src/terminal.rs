//! What people read in a terminal: colours where they are wanted, texts of others without
//! control characters, and durations, sizes and times in few characters.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use bytesize::ByteSize;

use fanlight_telemetry::sanitize::{is_control, one_line};
use serde_json::Value;

/// The styles of one stream; without colours each of them writes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Styles {
    pub(crate) bold: Style,
    /// What is there to be copied or looked up, and not to be read.
    pub(crate) dim: Style,
    pub(crate) good: Style,
    pub(crate) notice: Style,
    pub(crate) warning: Style,
    pub(crate) error: Style,
}

impl Styles {
    /// Those of standard output.
    pub(crate) fn of_stdout() -> Self {
        Self::chosen(AutoStream::choice(&std::io::stdout()))
    }

    /// Those of standard error.
    pub(crate) fn of_stderr() -> Self {
        Self::chosen(AutoStream::choice(&std::io::stderr()))
    }

    /// Whether anything is coloured.
    pub(crate) fn are_coloured(&self) -> bool {
        !self.error.is_plain()
    }

    /// The choice heeds `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE`. It takes a machine
    /// with `CI` for one that shows colours, whatever `TERM` says.
    fn chosen(choice: ColorChoice) -> Self {
        let variable = |name, value| std::env::var_os(name).is_some_and(|it| it == value);
        let is_dumb = variable("TERM", "dumb") && !variable("CLICOLOR_FORCE", "1");
        match choice {
            _ if is_dumb => Self::default(),
            ColorChoice::Never => Self::default(),
            ColorChoice::Auto | ColorChoice::Always | ColorChoice::AlwaysAnsi => Self::coloured(),
        }
    }

    pub(crate) fn coloured() -> Self {
        let colour = |colour: AnsiColor| colour.on_default();
        Self {
            bold: Style::new().bold(),
            dim: Style::new().dimmed(),
            good: colour(AnsiColor::Green),
            notice: colour(AnsiColor::Cyan),
            warning: colour(AnsiColor::Yellow),
            error: colour(AnsiColor::Red),
        }
    }

    /// The style of a log record's severity.
    pub(crate) fn of_severity(&self, severity: u64) -> Style {
        match severity {
            17.. => self.error,
            13..=16 => self.warning,
            9..=12 => self.good,
            _ => self.dim,
        }
    }

    /// The style of a response's status.
    pub(crate) fn of_status(&self, status: u16, is_error: bool) -> Style {
        match status {
            _ if is_error => self.error,
            200..=299 => self.good,
            300..=399 => self.notice,
            400..=499 => self.warning,
            500.. => self.error,
            _ => Style::new(),
        }
    }
}

/// Writes to standard output at once.
///
/// # Errors
/// With [`OutputClosed`] where its reader has gone.
pub(crate) fn print(text: &str) -> Result<(), OutputClosed> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    // Whatever the reason, no one reads on.
    written.and_then(|()| stdout.flush()).map_err(OutputClosed)
}

/// The reader of standard output has gone, as `head` does when it has its lines.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(crate) struct OutputClosed(#[source] std::io::Error);

impl OutputClosed {
    /// Whether the reader has left, which ends a command well.
    pub(crate) fn is_left(&self) -> bool {
        self.0.kind() == std::io::ErrorKind::BrokenPipe
    }
}

/// A text of a client or a guest as part of one line, of at most this many bytes.
pub(crate) fn shown(text: &str, max_bytes: usize) -> String {
    one_line(text, max_bytes)
}

/// An object of JSON as one line. JSON lets some control characters stand as they are;
/// here all are escaped, since a terminal may be what reads the line.
pub(crate) fn json_line(value: &Value) -> String {
    use std::fmt::Write as _;
    let plain = value.to_string();
    if !plain.contains(is_control) {
        return plain;
    }
    let mut line = String::with_capacity(plain.len() + 16);
    for character in plain.chars() {
        match is_control(character) {
            // None of them is beyond the first plane. Writing to a string cannot fail.
            true => drop(write!(line, "\\u{:04x}", u32::from(character))),
            false => line.push(character),
        }
    }
    line
}

/// A duration in three digits or a few more.
pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        ..10.0 => format!("{micros:.1} µs"),
        ..1e3 => format!("{micros:.0} µs"),
        ..1e4 => format!("{:.2} ms", micros / 1e3),
        ..1e5 => format!("{:.1} ms", micros / 1e3),
        ..1e6 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// A size in bytes, KiB, MiB or GiB.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        _ => ByteSize::b(bytes).display().iec().to_string(),
    }
}

/// A time in UTC, as the log's lines have it.
pub(crate) fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// The time of day, in UTC.
pub(crate) fn time_of_day(time: SystemTime) -> String {
    let full = timestamp(time);
    let start = full.find('T').map_or(0, |at| at + 1);
    full.get(start..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_and_sizes_take_few_characters() {
        let shown = |nanos| duration(Duration::from_nanos(nanos));
        assert_eq!(shown(0), "0.0 µs");
        assert_eq!(shown(612_400), "612 µs");
        assert_eq!(shown(1_234_000), "1.23 ms");
        assert_eq!(shown(45_678_000), "45.7 ms");
        assert_eq!(shown(3_456_000_000), "3.46 s");
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1_153_434), "1.1 MiB");
    }

    #[test]
    fn a_line_of_json_means_the_same_and_has_no_control_character() {
        let value = json!({"name": "a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\nb"});
        let line = json_line(&value);
        assert!(!line.contains(is_control), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }

    #[test]
    fn without_colours_no_style_writes_anything() {
        let styles = Styles::chosen(ColorChoice::Never);
        let all = [
            styles.bold,
            styles.dim,
            styles.good,
            styles.notice,
            styles.warning,
            styles.error,
        ];
        for style in all {
            assert_eq!(format!("{style}x{style:#}"), "x");
        }
        assert!(!styles.are_coloured());
        assert!(Styles::coloured().are_coloured());
    }
}
