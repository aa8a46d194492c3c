//! Prometheus' text format, read as strictly as it is written down.

use std::collections::{BTreeMap, BTreeSet};

/// All families of a text, by name.
pub type Families = BTreeMap<String, Family>;

/// The metrics of one name.
#[derive(Clone, Debug, Default)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// What it is about.
    pub help: String,
    /// What was measured.
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The family's name, with `_bucket`, `_sum` or `_count` for a histogram.
    pub name: String,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// What was measured.
    pub value: f64,
}

impl Family {
    /// The samples of this name that have these labels, among others.
    pub fn of(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let has = |sample: &Sample, key: &str, value: &str| {
            sample.labels.get(key).map(String::as_str) == Some(value)
        };
        self.samples
            .iter()
            .filter(|sample| sample.name == name)
            .filter(|sample| labels.iter().all(|(key, value)| has(sample, key, value)))
            .collect()
    }

    /// The sum of their values.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name, labels)
            .iter()
            .map(|sample| sample.value)
            .sum()
    }
}

/// Reads a text.
///
/// # Panics
/// Where it breaks a rule: names and labels, one `TYPE` for each family and
/// before its samples, families in one piece, no sample's name in two families,
/// no series twice, and histograms with rising buckets that end in `+Inf` with the count.
pub fn parse(text: &str) -> Families {
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "the last line ends"
    );
    let mut families = Families::new();
    let mut current: Option<String> = None;
    let mut series = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            let family = begin(&mut families, &mut current, name);
            assert!(
                family.samples.is_empty() && family.help.is_empty(),
                "{line}"
            );
            family.help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            let family = begin(&mut families, &mut current, name);
            assert!(
                family.samples.is_empty() && family.kind.is_empty(),
                "{line}"
            );
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            family.kind = kind.to_owned();
        } else {
            let sample = sample(line);
            let name = current.as_ref().expect("a type before the first sample");
            let family = families.get_mut(name).expect("it was begun");
            let suffixes: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            let suffix = sample.name.strip_prefix(name.as_str());
            assert!(
                suffix.is_some_and(|suffix| suffixes.contains(&suffix)),
                "{line}"
            );
            assert!(
                series.insert((sample.name.clone(), sample.labels.clone())),
                "twice: {line}"
            );
            family.samples.push(sample);
        }
    }
    let mut owners = BTreeMap::new();
    for (name, family) in &families {
        for sample in &family.samples {
            let owner = owners.entry(sample.name.as_str()).or_insert(name);
            assert_eq!(*owner, name, "{} is of two families", sample.name);
        }
        assert!(
            !family.kind.is_empty() && !family.samples.is_empty(),
            "{name}"
        );
        match family.kind.as_str() {
            "counter" => assert!(name.ends_with("_total"), "{name}"),
            "histogram" => demand_histogram(name, family),
            _ => {}
        }
    }
    families
}

fn begin<'a>(
    families: &'a mut Families,
    current: &mut Option<String>,
    name: &str,
) -> &'a mut Family {
    assert!(is_name(name, true), "{name:?} is no name");
    if current.as_deref() != Some(name) {
        assert!(!families.contains_key(name), "{name} is in two pieces");
        *current = Some(name.to_owned());
    }
    families.entry(name.to_owned()).or_default()
}

fn is_name(name: &str, colons: bool) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':');
    name.bytes().all(valid) && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit()
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).expect("a value");
    let (name, rest) = line.split_at(name_end);
    assert!(is_name(name, true), "{line}");
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest),
        None => (BTreeMap::new(), rest),
    };
    let value = value.strip_prefix(' ').expect("a space before the value");
    Sample {
        name: name.to_owned(),
        labels,
        value: value
            .parse()
            .unwrap_or_else(|_| panic!("no number: {line}")),
    }
}

/// Reads `name="value",...}`; gives back what follows.
fn labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label");
        assert!(
            is_name(name, false) && !name.starts_with("__"),
            "{name:?} is no label"
        );
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            let (at, character) = characters.next().expect("a quote at the end");
            match character {
                '"' => break at,
                '\\' => match characters.next().expect("what is escaped").1 {
                    'n' => value.push('\n'),
                    escaped @ ('"' | '\\') => value.push(escaped),
                    other => panic!("\\{other} is no escape"),
                },
                other => value.push(other),
            }
        };
        let twice = labels.insert(name.to_owned(), value);
        assert!(twice.is_none(), "{name} twice");
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return (labels, rest.strip_prefix('}').expect("a brace at the end")),
        }
    }
}

fn demand_histogram(name: &str, family: &Family) {
    let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in family.of(&format!("{name}_bucket"), &[]) {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le").expect("a bucket has its bound");
        let bound = bound.parse().expect("a bound is a number");
        buckets
            .entry(labels)
            .or_default()
            .push((bound, sample.value));
    }
    for suffix in ["_sum", "_count"] {
        let all = family.of(&format!("{name}{suffix}"), &[]);
        assert_eq!(all.len(), buckets.len(), "{name}{suffix}");
    }
    for count in family.of(&format!("{name}_count"), &[]) {
        let buckets = &buckets[&count.labels];
        let rise = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        assert!(buckets.windows(2).all(rise), "{name}: {buckets:?}");
        let last = buckets.last().expect("a bucket");
        assert_eq!(*last, (f64::INFINITY, count.value), "{name}");
    }
}
