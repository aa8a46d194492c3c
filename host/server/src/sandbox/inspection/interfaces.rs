//! The names that a component imports or exports.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use fanlight_telemetry::sanitize::one_line;

/// The most names that are kept: components in use have less than a hundred, and each
/// is text in memory.
const MAX_NAMES: usize = 1_000;
/// The longest name that is kept, in bytes.
const MAX_NAME: usize = 256;

/// Names such as `wasi:http/types@0.2.3`, without their versions and with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// The versions of each name; `None` where a name has none.
    versions: BTreeMap<String, BTreeSet<Option<String>>>,
    kept: usize,
    /// Names that are not kept: too many or too long.
    unlisted: usize,
}

/// What differs between two sets of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceChanges {
    /// Names that only the new component has.
    pub added: Vec<String>,
    /// Names that only the old component has.
    pub removed: Vec<String>,
    /// Names that both have, in other versions.
    pub changed: Vec<VersionChange>,
    /// Names of the new component that were not compared: there are too many, or they
    /// are too long.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: usize,
}

/// An interface that both components have, in other versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionChange {
    /// Its name without a version.
    pub interface: String,
    /// The versions that the old component has.
    pub from: Vec<String>,
    /// The versions that the new component has.
    pub to: Vec<String>,
}

impl Interfaces {
    /// Adds a name as a component has it.
    pub(crate) fn add(&mut self, name: &str) {
        if name.len() > MAX_NAME || self.kept == MAX_NAMES {
            self.unlisted += 1;
            return;
        }
        let (interface, version) = split(name);
        let versions = self.versions.entry(escaped(interface)).or_default();
        if versions.insert(version.map(escaped)) {
            self.kept += 1;
        }
    }

    /// The full names in order.
    pub fn names(&self) -> Vec<String> {
        let all = self.versions.iter().flat_map(|(interface, versions)| {
            let versions = versions.iter();
            versions.map(move |version| full(interface, version.as_deref()))
        });
        all.collect()
    }

    /// How many names are not among those.
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// The packages with versions, such as `wasi:http@0.2.3`.
    pub fn packages(&self) -> BTreeSet<String> {
        let all = self.versions.iter().flat_map(|(interface, versions)| {
            let package = interface.split_once('/').map(|(package, _)| package);
            let versions = versions.iter().flatten();
            versions.filter_map(move |version| Some(full(package?, Some(version))))
        });
        all.collect()
    }

    /// What another component has otherwise. An interface in another version is the
    /// same interface.
    pub fn changes(&self, new: &Self) -> InterfaceChanges {
        let only = |one: &Self, other: &Self| {
            let only = one.versions.iter();
            let only = only.filter(|(interface, _)| !other.versions.contains_key(*interface));
            let names = only.flat_map(|(interface, versions)| {
                let versions = versions.iter();
                versions.map(move |version| full(interface, version.as_deref()))
            });
            names.collect()
        };
        let changed = self.versions.iter().filter_map(|(interface, from)| {
            let to = new.versions.get(interface).filter(|to| *to != from)?;
            let texts = |versions: &BTreeSet<Option<String>>| {
                let versions = versions.iter();
                versions.map(|it| it.clone().unwrap_or_default()).collect()
            };
            Some(VersionChange {
                interface: interface.clone(),
                from: texts(from),
                to: texts(to),
            })
        });
        InterfaceChanges {
            added: only(new, self),
            removed: only(self, new),
            changed: changed.collect(),
            unlisted: new.unlisted,
        }
    }
}

impl InterfaceChanges {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the new component has names that the old one has not. Names that were
    /// not compared count as such: a component could hide one among them.
    pub fn has_new(&self) -> bool {
        !self.added.is_empty() || self.unlisted > 0
    }
}

fn escaped(name: &str) -> String {
    // Escapes are at most ten times as long; the name itself was measured before.
    one_line(name, 10 * MAX_NAME)
}

fn full(interface: &str, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{interface}@{version}"),
        None => interface.to_owned(),
    }
}

/// The name and its version. Names such as `url=<...>` have none.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('@') {
        Some((interface, version)) if !name.contains('<') => (interface, Some(version)),
        _ => (name, None),
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces(names: &[&str]) -> Interfaces {
        let mut interfaces = Interfaces::default();
        names.iter().for_each(|name| interfaces.add(name));
        interfaces
    }

    #[test]
    fn another_version_is_no_new_interface() {
        let old = interfaces(&["wasi:http/types@0.2.3", "wasi:io/poll@0.2.3", "a"]);
        let new = interfaces(&["wasi:http/types@0.2.6", "wasi:sockets/tcp@0.2.6", "a"]);
        let changes = old.changes(&new);
        assert!(changes.has_new());
        assert_eq!(changes.added, ["wasi:sockets/tcp@0.2.6"]);
        assert_eq!(changes.removed, ["wasi:io/poll@0.2.3"]);
        let changed = VersionChange {
            interface: "wasi:http/types".to_owned(),
            from: vec!["0.2.3".to_owned()],
            to: vec!["0.2.6".to_owned()],
        };
        assert_eq!(changes.changed, [changed]);
        let back = new.changes(&interfaces(&["wasi:http/types@0.2.0"]));
        assert!(!back.has_new() && !back.is_empty());
        assert!(old.changes(&old).is_empty());
    }

    #[test]
    fn names_that_are_not_compared_count_as_new() {
        let mut many = Interfaces::default();
        for n in 0..MAX_NAMES + 7 {
            many.add(&format!("a:b/c{n}@1.0.0"));
        }
        assert_eq!(many.names().len(), MAX_NAMES);
        assert_eq!(many.unlisted(), 7);
        assert!(many.changes(&many).has_new());
        let long = interfaces(&[&"x".repeat(MAX_NAME + 1)]);
        assert_eq!((long.names().len(), long.unlisted()), (0, 1));
        // The same name again takes no room.
        let mut same = Interfaces::default();
        (0..5_000).for_each(|_| same.add("a:b/c@1.0.0"));
        assert_eq!((same.names().len(), same.unlisted()), (1, 0));
    }

    #[test]
    fn control_characters_are_escaped() {
        let names = interfaces(&["url=<https://a@b/\u{1b}[31m>"]).names();
        assert_eq!(names, [r"url=<https://a@b/\u{1b}[31m>"]);
    }

    #[test]
    fn packages_are_listed_once_a_version() {
        let all = interfaces(&[
            "wasi:http/types@0.2.3",
            "wasi:http/incoming-handler@0.2.3",
            "wasi:io/poll@0.2.0",
            "plain",
        ]);
        let packages: Vec<_> = all.packages().into_iter().collect();
        assert_eq!(packages, ["wasi:http@0.2.3", "wasi:io@0.2.0"]);
    }
}
