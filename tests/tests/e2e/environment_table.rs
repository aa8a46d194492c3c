//! The table of variables in `docs/telemetry.md` is true: every variable that
//! the host reads is in it, and each names tests that exist and that set it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fanlight_tests::fixture::workspace;

const SIGNALS: &[&str] = &["TRACES", "METRICS", "LOGS"];
const PROCESSORS: &[&str] = &["BSP", "BLRP"];
/// Parts that stand for each signal or processor: in the table, in the code, in
/// the tests.
const FAMILIES: [(&str, &[&str]); 6] = [
    ("<SIGNAL>", SIGNALS),
    ("{signal}", SIGNALS),
    ("{name}", SIGNALS),
    ("{processor}", PROCESSORS),
    ("{late}", PROCESSORS),
    ("{soon}", PROCESSORS),
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

fn expanded(name: &str) -> Vec<String> {
    let family = FAMILIES.iter().find(|(part, _)| name.contains(part));
    match family {
        Some((part, members)) => {
            let names = members.iter().map(|member| name.replace(part, member));
            names.collect()
        }
        None => vec![name.to_owned()],
    }
}

/// The variables that a text names.
fn names(text: &str) -> BTreeSet<String> {
    let belongs = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "_<>{}".contains(c);
    let part_of_family = |c: char| c.is_ascii_lowercase();
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("OTEL_") {
        let mut inside = false;
        let rest = &text[at..];
        let end = rest.find(|c: char| {
            inside = (inside || c == '{') && c != '}';
            !(belongs(c) || inside && part_of_family(c))
        });
        let name = &rest[..end.unwrap_or(rest.len())];
        // A prefix, as in `OTEL_*`, names nothing.
        if !name.ends_with('_') {
            found.extend(expanded(name));
        }
    }
    found
}

/// What the host's own code names, without its comments and unit tests.
fn read_by_the_host() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files(&workspace().join("host")) {
        let text = std::fs::read_to_string(file).unwrap();
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        // A constant that is imported by another name holds a word or a number.
        let lines = code.lines().filter(|line| !line.contains(" as "));
        for line in lines.filter(|line| !line.trim().starts_with("//")) {
            found.extend(names(line));
        }
    }
    found
}

/// The variables of the table, and the tests that each row names.
fn table() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(workspace().join("docs/telemetry.md")).unwrap();
    let mut table = BTreeMap::new();
    let rows = text.lines().filter(|line| line.starts_with("| `OTEL_"));
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let tests: Vec<_> = cells[cells.len() - 1]
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        for name in names(cells[0]) {
            assert!(!tests.is_empty(), "{name} names no test");
            let twice = table.insert(name.clone(), tests.clone());
            assert!(twice.is_none(), "{name} is there twice");
        }
    }
    table
}

/// The variables that each test names, by the test's name.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for file in files(&workspace().join("tests/tests/e2e")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for test in text.split("#[tokio::test").skip(1) {
            let (_, rest) = test.split_once("fn ").unwrap();
            let (name, _) = rest.split_once('(').unwrap();
            found.insert(name.to_owned(), names(test));
        }
    }
    found
}

#[test]
fn every_variable_that_is_read_is_in_the_table() {
    let table: BTreeSet<_> = table().into_keys().collect();
    let missing: Vec<_> = read_by_the_host().difference(&table).cloned().collect();
    assert!(missing.is_empty(), "not in docs/telemetry.md: {missing:?}");
    assert!(table.len() > 60, "{table:?}");
}

#[test]
fn every_variable_in_the_table_is_set_by_a_test_that_it_names() {
    let all = tests();
    for (name, of_row) in table() {
        for test in &of_row {
            assert!(all.contains_key(test), "{name}: there is no test {test}");
        }
        let mut sets = of_row.iter().filter_map(|test| all.get(test));
        assert!(
            sets.any(|set| set.contains(&name)),
            "{name} is set by none of {of_row:?}"
        );
    }
}
