//! Numbers and times as pages show them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use maud::{Markup, html};

/// A duration in a unit that suits it, with three digits: `1.25 ms`.
pub(crate) fn duration(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0 => return "0 s".to_owned(),
        1..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (nanos as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "ms"),
        1_000_000_000..60_000_000_000 => (nanos as f64 / 1e9, "s"),
        _ => {
            let seconds = nanos / 1_000_000_000;
            return format!("{} min {} s", seconds / 60, seconds % 60);
        }
    };
    let digits = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// A power of ten nanoseconds: `10 ms`.
pub(crate) fn power_of_ten(nanos: u64) -> String {
    match nanos {
        ..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} µs", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{} s", nanos / 1_000_000_000),
    }
}

/// A duration in seconds, of a metric.
pub(crate) fn seconds(seconds: f64) -> String {
    // A duration that is no number, or negative, is none.
    duration(
        Duration::try_from_secs_f64(seconds)
            .map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX)),
    )
}

/// A count with a thin space between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `1 span`, `2 spans`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A number of a metric.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e15 => format!("{value:.3e}"),
        _ if value.fract() == 0.0 && value >= 0.0 => count(value as u64),
        100.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Bytes in a unit that suits them.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match value {
        100.0.. => format!("{value:.0} {}", UNITS[unit]),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// A moment: in UTC, which a script turns into the reader's own time.
pub(crate) fn time(nanos: u64) -> Markup {
    let text = humantime::format_rfc3339_millis(at(nanos)).to_string();
    let clock = text.get(11..23).unwrap_or_default();
    html! { time datetime=(text) title=(text) { (clock) } }
}

/// A moment without its day and its fraction of a second.
pub(crate) fn clock(at: SystemTime) -> Markup {
    let text = humantime::format_rfc3339_seconds(at).to_string();
    let clock = text.get(11..19).unwrap_or_default();
    html! { time.clock datetime=(text) title=(text) { (clock) } }
}

/// A day and a moment.
pub(crate) fn date_time(at: SystemTime) -> Markup {
    let text = humantime::format_rfc3339_millis(at).to_string();
    let date = text.get(..10).unwrap_or_default();
    let clock = text.get(11..19).unwrap_or_default();
    html! { time.date datetime=(text) title=(text) { (date) " " (clock) } }
}

fn at(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// A share of the width as an attribute of SVG: `12.5%`.
pub(crate) fn percent(share: f64) -> String {
    let percent = (share * 100.0).clamp(0.0, 100.0);
    format!("{percent:.3}%")
}

/// What `part` is of `whole`, from 0 to 1.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => part as f64 / whole as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, duration, percent};

    #[test]
    fn values_have_few_digits_and_a_unit() {
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(1_234), "1.23 µs");
        assert_eq!(duration(45_678_000), "45.7 ms");
        assert_eq!(duration(2_000_000_000), "2.00 s");
        assert_eq!(duration(125_000_000_000), "2 min 5 s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(64 * 1024 * 1024), "64.0 MiB");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(percent(0.125), "12.500%");
        assert_eq!(percent(7.0), "100.000%");
    }
}
