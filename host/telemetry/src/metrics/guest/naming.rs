//! What Prometheus calls a metric and its labels, as `opentelemetry-prometheus`
//! does it: the same instrument has one name there, whoever aggregates it.

use std::collections::BTreeMap;

use opentelemetry::{InstrumentationScope, KeyValue};
use prometheus::proto::LabelPair;

/// Labels that tell the library that speaks.
const SCOPE: &str = "otel_scope_";

/// The name of a family: a counter's ends in `_total`.
pub(crate) fn family_name(name: &str, unit: &str, is_counter: bool) -> String {
    let mut family: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if let Some(unit) = unit_suffix(unit) {
        family.push('_');
        family.push_str(&unit);
    }
    if is_counter {
        family.push_str("_total");
    }
    family
}

/// Whether a word is what a unit is called.
pub(crate) fn is_unit(word: &str) -> bool {
    WORDS.iter().any(|(_, known)| *known == word)
}

/// The labels of a series: its attributes, and who speaks.
pub(crate) fn labels(attributes: &[KeyValue], scope: &InstrumentationScope) -> Vec<LabelPair> {
    let mut by_name = BTreeMap::<String, String>::new();
    // Keys that become the same share one label.
    let mut add = |name: String, value: String| {
        by_name
            .entry(name)
            .and_modify(|values| {
                values.push(';');
                values.push_str(&value);
            })
            .or_insert(value);
    };
    add(format!("{SCOPE}name"), scope.name().to_owned());
    if let Some(version) = scope.version() {
        add(format!("{SCOPE}version"), version.to_owned());
    }
    if let Some(url) = scope.schema_url() {
        add(format!("{SCOPE}schema_url"), url.to_owned());
    }
    for attribute in scope.attributes() {
        let key = attribute.key.as_str();
        if !["name", "version", "schema_url"].contains(&key) {
            add(
                label_name(&format!("{SCOPE}{key}")),
                attribute.value.to_string(),
            );
        }
    }
    for attribute in attributes {
        add(
            label_name(attribute.key.as_str()),
            attribute.value.to_string(),
        );
    }
    by_name
        .into_iter()
        .map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name(name);
            label.set_value(value);
            label
        })
        .collect()
}

fn label_name(key: &str) -> String {
    key.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == ':' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// The unit as a word; none for one that is unknown, or a remark in braces.
fn unit_suffix(unit: &str) -> Option<String> {
    if let Some(word) = word(unit) {
        return Some(word.to_owned());
    }
    let (amount, per) = unit.split_once('/')?;
    let per = per_word(per)?;
    // A time or a mere number by the time says no more than the latter.
    let says_nothing = ["1", "d", "h", "min", "s", "ms", "us", "ns"].contains(&amount);
    Some(match word(amount).filter(|_| !says_nothing) {
        Some(amount) => format!("{amount}_per_{per}"),
        None => format!("per_{per}"),
    })
}

/// Units by UCUM, and their words.
const WORDS: [(&str, &str); 31] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("B", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("KB", "kilobytes"),
    ("MBy", "megabytes"),
    ("MB", "megabytes"),
    ("GBy", "gigabytes"),
    ("GB", "gigabytes"),
    ("TBy", "terabytes"),
    ("TB", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", "ratio"),
    ("%", "percent"),
];

fn word(unit: &str) -> Option<&'static str> {
    let mut known = WORDS.iter();
    known.find_map(|(known, word)| (*known == unit).then_some(*word))
}

fn per_word(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use prometheus::Registry;

    use super::*;

    #[test]
    fn names_and_labels_are_those_of_the_exporter_for_the_hosts_own() {
        let scope = InstrumentationScope::builder("shop")
            .with_version("7")
            .with_schema_url("https://example.com")
            .with_attributes([
                KeyValue::new("team.name", "a"),
                KeyValue::new("version", "x"),
            ])
            .build();
        let attributes = [
            KeyValue::new("a.b", "1"),
            KeyValue::new("a_b", true),
            KeyValue::new("ä:c", 3),
        ];
        for (name, unit) in [
            ("a.b/c-d", ""),
            ("a", "ms"),
            ("a", "By"),
            ("a", "1"),
            ("a", "{request}"),
            ("a", "By/s"),
            ("a", "1/m"),
            ("a", "{thing}/h"),
            ("a", "furlong"),
            ("a", "furlong/fortnight"),
        ] {
            let registry = Registry::new();
            let reader = opentelemetry_prometheus::exporter()
                .with_registry(registry.clone())
                .build()
                .unwrap();
            let meters = SdkMeterProvider::builder().with_reader(reader).build();
            let meter = meters.meter_with_scope(scope.clone());
            let counter = meter.u64_counter(name).with_unit(unit).build();
            counter.add(1, &attributes);
            let families = registry.gather();
            let family = families
                .iter()
                .find(|family| family.name() != "target_info")
                .unwrap();
            assert_eq!(
                family_name(name, unit, true),
                family.name(),
                "{name} {unit}"
            );
            let as_text = |labels: &[LabelPair]| {
                let pairs = labels
                    .iter()
                    .map(|it| format!("{}={}", it.name(), it.value()));
                let mut pairs: Vec<_> = pairs.collect();
                pairs.sort();
                pairs
            };
            assert_eq!(
                as_text(&labels(&attributes, &scope)),
                as_text(family.get_metric()[0].get_label())
            );
        }
    }
}
