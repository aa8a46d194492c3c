//! What differs between two components, as a swap would change it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::sandbox::inspection::Inspection;
use crate::sandbox::inspection::footprint::Footprint;
use crate::sandbox::inspection::interfaces::InterfaceChanges;

/// What a new component has otherwise than an old one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// What it imports.
    pub imports: InterfaceChanges,
    /// What it exports.
    pub exports: InterfaceChanges,
    /// Its memories and tables, where they differ.
    pub footprint: Option<FootprintChange>,
    /// What it was made with.
    pub toolchain: ToolchainChanges,
}

/// Memories and tables of two components.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FootprintChange {
    /// Those of the old component.
    pub from: Footprint,
    /// Those of the new component.
    pub to: Footprint,
}

/// Languages, tools and kits that only one of two components was made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolchainChanges {
    /// The new one.
    pub added: Vec<String>,
    /// The old one.
    pub removed: Vec<String>,
}

impl Changes {
    /// Compares two components.
    pub fn between(old: &Inspection, new: &Inspection) -> Self {
        let is_same = old.footprint == new.footprint;
        let (before, after) = (old.toolchain.entries(), new.toolchain.entries());
        let only = |one: &BTreeSet<&str>, other: &BTreeSet<&str>| {
            one.difference(other).map(|&it| it.to_owned()).collect()
        };
        Self {
            imports: old.imports.changes(&new.imports),
            exports: old.exports.changes(&new.exports),
            footprint: (!is_same).then(|| FootprintChange {
                from: old.footprint.clone(),
                to: new.footprint.clone(),
            }),
            toolchain: ToolchainChanges {
                added: only(&after, &before),
                removed: only(&before, &after),
            },
        }
    }

    /// Whether nothing differs that a host could tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_component_has_no_changes_and_another_one_those_that_it_has() {
        let read = |text: &str| Inspection::read(&wat::parse_str(text).unwrap());
        let old = read(r#"(component (core module (@producers (language "C" "11")) (memory 1)))"#);
        let new = read(
            r#"(component (import "a:b/c@1.0.0" (instance))
                (core module (@producers (language "C" "17")) (memory 2)))"#,
        );
        assert!(Changes::between(&old, &old).is_empty());
        let changes = Changes::between(&old, &new);
        assert_eq!(changes.imports.added, ["a:b/c@1.0.0"]);
        assert!(changes.exports.is_empty());
        assert_eq!(changes.footprint.unwrap().to.memory_count, 1);
        assert_eq!(changes.toolchain.added, ["C 17"]);
        assert_eq!(changes.toolchain.removed, ["C 11"]);
    }
}
