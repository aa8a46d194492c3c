//! The names that Prometheus has for a metric and its labels: those that an
//! OpenTelemetry Collector's Prometheus exporter would write for the same metric.
//!
//! The rules are in OpenTelemetry's specification, "Prometheus and OpenMetrics
//! Compatibility". Where it leaves a choice, the Collector's is taken, so that a
//! dashboard works with either.

use std::collections::BTreeMap;

use opentelemetry::{InstrumentationScope, KeyValue};

use crate::metrics::guest::Shape;
use crate::metrics::prometheus::family::Label;
use crate::scope::{GUEST_SCOPE, HOST_SCOPE};

/// Labels that name the library that made the instrument.
const SCOPE: &str = "otel_scope_";

/// The name of a metric, and its unit if the name ends in it. A counter's name
/// ends in `_total`, which is no part of the unit. `None` if no character of the
/// instrument's name can stand in a name.
pub(crate) fn family_name(
    name: &str,
    unit: &str,
    shape: Shape,
) -> Option<(String, Option<String>)> {
    let mut words: Vec<&str> = name
        .split(|c| !is_name_char(c))
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() {
        return None;
    }
    let (main, per) = unit_words(unit);
    let mut suffix = Vec::new();
    // A unit that is a word of the name already is not added again.
    let main = main.filter(|main| !words.contains(&main.as_str()));
    let per = per.filter(|per| !words.contains(&per.as_str()));
    if let Some(main) = &main {
        // Only what is added can end in `_`: two in a row would follow from it.
        let end = main.strip_suffix('_').filter(|_| per.is_some());
        suffix.push(end.unwrap_or(main));
    }
    suffix.extend(per.as_deref());
    suffix.retain(|word| !word.is_empty());
    words.extend(&suffix);
    if unit == "1" && shape == Shape::Gauge {
        words.retain(|word| *word != "ratio");
        words.push("ratio");
    }
    let is_counter = shape == Shape::Counter;
    if is_counter {
        words.retain(|word| *word != "total");
    }
    let mut family = words.join("_");
    if family.starts_with(|first: char| first.is_ascii_digit()) {
        family.insert(0, '_');
    }
    let unit = whole_unit(unit, shape).filter(|unit| {
        let stem = family.strip_suffix(unit.as_str());
        stem.is_some_and(|stem| stem.ends_with('_'))
    });
    if is_counter {
        if !family.is_empty() {
            family.push('_');
        }
        family.push_str("total");
    }
    Some((family, unit))
}

/// The labels of a series, in order: its attributes, and the library that made
/// the instrument unless it is the host or the guest itself.
pub(crate) fn labels<'a>(
    attributes: impl IntoIterator<Item = &'a KeyValue>,
    scope: &InstrumentationScope,
) -> Vec<Label> {
    let mut attributes: Vec<_> = attributes.into_iter().collect();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    let mut by_name = BTreeMap::<String, String>::new();
    // Keys that become the same share one label.
    let mut add = |name: &str, value: String| {
        by_name
            .entry(label_name(name))
            .and_modify(|values| {
                values.push(';');
                values.push_str(&value);
            })
            .or_insert(value);
    };
    // The names of metrics already tell the host's from the guest's.
    if ![HOST_SCOPE, GUEST_SCOPE].contains(&scope.name()) {
        add(&format!("{SCOPE}name"), scope.name().to_owned());
        if let Some(version) = scope.version() {
            add(&format!("{SCOPE}version"), version.to_owned());
        }
        if let Some(url) = scope.schema_url() {
            add(&format!("{SCOPE}schema_url"), url.to_owned());
        }
        for attribute in scope.attributes() {
            let key = attribute.key.as_str();
            if !["name", "version", "schema_url"].contains(&key) {
                add(&format!("{SCOPE}{key}"), attribute.value.to_string());
            }
        }
    }
    for attribute in attributes {
        add(attribute.key.as_str(), attribute.value.to_string());
    }
    by_name
        .into_iter()
        .map(|(name, value)| Label { name, value })
        .collect()
}

/// The name of a label: a key that is no name, or that has a meaning of its own
/// for Prometheus, gets `key_` before it.
fn label_name(key: &str) -> String {
    let name: String = key
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let is_reserved = name.starts_with("__") || ["le", "quantile"].contains(&name.as_str());
    let is_digit = name.starts_with(|first: char| first.is_ascii_digit());
    if is_reserved || is_digit || name.is_empty() {
        return format!("key_{name}");
    }
    name
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// A unit as one word, for OpenMetrics.
fn whole_unit(unit: &str, shape: Shape) -> Option<String> {
    if unit == "1" && shape == Shape::Gauge {
        return Some("ratio".to_owned());
    }
    let (main, per) = unit_words(unit);
    let whole = match (main, per) {
        (Some(main), Some(per)) => format!("{}_{per}", main.strip_suffix('_').unwrap_or(&main)),
        (one, other) => one.or(other)?,
    };
    Some(whole)
}

/// What a unit is called, and `per_` what. A remark in braces is no unit.
fn unit_words(unit: &str) -> (Option<String>, Option<String>) {
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main, per),
        None => (unit, ""),
    };
    let is_unit = |part: &&str| !part.is_empty() && !part.contains(['{', '}']);
    let main = Some(main.trim()).filter(is_unit).map(main_word);
    let main = main.map(cleaned).filter(|main| !main.is_empty());
    let per = Some(per.trim()).filter(is_unit);
    let per = per.map(|per| cleaned(&format!("per_{}", per_word(per))));
    let per = per.map(|per| per.strip_suffix('_').unwrap_or(&per).to_owned());
    (main, per.filter(|per| per != "per"))
}

/// A word in which each run of characters that cannot stand in a name is one `_`.
fn cleaned(word: &str) -> String {
    let mut cleaned = String::with_capacity(word.len());
    for c in word.chars() {
        match c {
            c if is_name_char(c) => cleaned.push(c),
            _ if cleaned.ends_with('_') || cleaned.is_empty() => {}
            _ => cleaned.push('_'),
        }
    }
    cleaned
}

/// The word for a unit of UCUM; a unit that has none stands for itself.
fn main_word(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        _ => unit,
    }
}

fn per_word(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name, without its unit.
    fn named(name: &str, unit: &str, shape: Shape) -> String {
        family_name(name, unit, shape).unwrap().0
    }

    #[test]
    fn a_unit_is_called_what_a_collector_calls_it() {
        for (unit, expected) in [
            ("km/h", "x_km_per_hour"),
            ("req/s", "x_req_per_second"),
            ("km", "x_km"),
            ("seconds", "x_seconds"),
            ("furlong/fortnight", "x_furlong_per_fortnight"),
            ("{request}", "x"),
            ("{request}/s", "x_per_second"),
            ("By/{request}", "x_bytes"),
            ("1", "x"),
            ("1/s", "x_per_second"),
            ("s/s", "x_seconds_per_second"),
            ("/s", "x_per_second"),
            ("By/", "x_bytes"),
            ("%", "x_percent"),
            ("By", "x_bytes"),
            // No units of UCUM, so that they stand for themselves.
            ("B", "x_B"),
            ("KB", "x_KB"),
            ("KiBy", "x_kibibytes"),
            ("MBy", "x_megabytes"),
            ("By/s", "x_bytes_per_second"),
            ("By/min", "x_bytes_per_min"),
            ("ms", "x_milliseconds"),
            ("d", "x_days"),
            ("1/mo", "x_per_month"),
            (" s / s ", "x_seconds_per_second"),
            ("Cel", "x_celsius"),
            ("m^2", "x_m_2"),
            ("m²/s", "x_m_per_second"),
            ("m²", "x_m_"),
            ("@", "x"),
            ("a/b/c", "x_a_per_b_c"),
            ("", "x"),
        ] {
            assert_eq!(named("x", unit, Shape::UpDownCounter), expected, "{unit}");
            let total = format!("{expected}_total");
            assert_eq!(named("x", unit, Shape::Counter), total, "{unit}");
        }
    }

    #[test]
    fn a_name_has_its_unit_and_total_once() {
        for (name, unit, shape, expected) in [
            (
                "app.requests_total",
                "",
                Shape::Counter,
                "app_requests_total",
            ),
            ("a.total.b", "", Shape::Counter, "a_b_total"),
            ("total", "", Shape::Counter, "total"),
            ("a.total", "", Shape::Gauge, "a_total"),
            ("sent_bytes", "By", Shape::Counter, "sent_bytes_total"),
            ("bytes.sent", "By", Shape::Counter, "bytes_sent_total"),
            ("a.seconds.b", "s", Shape::Histogram, "a_seconds_b"),
            (
                "wait.seconds",
                "ms",
                Shape::Histogram,
                "wait_seconds_milliseconds",
            ),
            ("app.page", "page", Shape::Gauge, "app_page"),
            ("queue__depth..", "By", Shape::Gauge, "queue_depth_bytes"),
            ("used", "1", Shape::Gauge, "used_ratio"),
            ("ratio.used", "1", Shape::Gauge, "used_ratio"),
            ("used", "1", Shape::UpDownCounter, "used"),
            ("used", "1", Shape::Histogram, "used"),
            ("a/b-c", "", Shape::Gauge, "a_b_c"),
            ("a:b", "", Shape::Gauge, "a:b"),
            ("1st", "", Shape::Gauge, "_1st"),
        ] {
            assert_eq!(named(name, unit, shape), expected, "{name} {unit}");
        }
        assert_eq!(family_name("__", "s", Shape::Gauge), None);
    }

    #[test]
    fn a_unit_is_known_where_the_name_ends_in_it() {
        for (name, unit, shape, expected) in [
            ("a", "s", Shape::Counter, Some("seconds")),
            ("a.seconds", "s", Shape::Counter, Some("seconds")),
            ("seconds.a", "s", Shape::Gauge, None),
            ("seconds", "s", Shape::Gauge, None),
            ("a", "By/s", Shape::Gauge, Some("bytes_per_second")),
            ("bytes", "By/s", Shape::Gauge, None),
            ("a", "1", Shape::Gauge, Some("ratio")),
            ("a", "1", Shape::Counter, None),
            ("a", "{thing}", Shape::Gauge, None),
        ] {
            let (_, found) = family_name(name, unit, shape).unwrap();
            assert_eq!(found.as_deref(), expected, "{name} {unit}");
        }
    }

    #[test]
    fn keys_that_become_the_same_share_a_label_and_a_library_has_its_own() {
        let scope = InstrumentationScope::builder("shop")
            .with_version("7")
            .with_schema_url("https://example.com")
            .with_attributes([
                KeyValue::new("team.name", "a"),
                KeyValue::new("version", "x"),
            ])
            .build();
        let attributes = [
            KeyValue::new("a_b", true),
            KeyValue::new("a.b", "1"),
            KeyValue::new("ä:c", 3),
        ];
        let labels = labels(&attributes, &scope);
        let labels: Vec<_> = labels
            .iter()
            .map(|label| format!("{}={}", label.name, label.value))
            .collect();
        let expected = [
            "a_b=1;true",
            "key___c=3",
            "otel_scope_name=shop",
            "otel_scope_schema_url=https://example.com",
            "otel_scope_team_name=a",
            "otel_scope_version=7",
        ];
        assert_eq!(labels, expected);
    }
}
