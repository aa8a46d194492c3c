//! Checks that no files of a crate use each other, in a circle of any length.
//!
//! A file stands for its module. Only paths that begin with `crate::` are read: the
//! sources name modules so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The files of a crate, by their modules' paths, and the modules that each uses.
pub(crate) type Uses = BTreeMap<String, BTreeSet<String>>;

/// The module of a file below the sources: `http/body/idle.rs` is `http::body::idle`.
pub(crate) fn module(file: &Path) -> String {
    let parts = file.with_extension("");
    let parts = parts.iter().map(|part| part.to_string_lossy());
    parts.collect::<Vec<_>>().join("::")
}

/// The modules that a file's code uses, out of these.
pub(crate) fn used(code: &str, own: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, root) in code.match_indices("crate::") {
        let before = code.get(..at).unwrap_or_default();
        // `some_crate::` is another crate, or a macro's.
        if before.ends_with(|it: char| it.is_alphanumeric() || it == '_' || it == '$') {
            continue;
        }
        let path = code.get(at + root.len()..).unwrap_or_default();
        collect(path, "", modules, &mut found);
    }
    found.remove(own);
    found
}

/// Follows a path, and each of a list in braces.
fn collect(path: &str, before: &str, modules: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    let end = path
        .find(|it: char| !it.is_alphanumeric() && it != '_' && it != ':')
        .unwrap_or(path.len());
    let (names, after) = path.split_at(end);
    let names = names.trim_end_matches("::");
    let whole = match (before.is_empty(), names.is_empty()) {
        (true, _) => names.to_owned(),
        (false, true) => before.to_owned(),
        (false, false) => format!("{before}::{names}"),
    };
    match after.strip_prefix('{') {
        Some(list) => {
            for item in items(list) {
                collect(item, &whole, modules, found);
            }
        }
        None => found.extend(longest(&whole, modules)),
    }
}

/// The items of a list whose brace is open.
fn items(list: &str) -> Vec<&str> {
    let (mut open, mut start, mut items) = (1_u32, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 || (open == 1 && character == ',') {
            items.push(list.get(start..at).unwrap_or_default().trim());
            start = at + 1;
        }
        if open == 0 {
            break;
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

/// The module that a path leads into: the longest that it begins with.
fn longest(path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut path = path;
    loop {
        if let Some(module) = modules.get(path) {
            return Some(module.clone());
        }
        path = path.rsplit_once("::")?.0;
    }
}

/// A circle of modules, if there is one: each uses the next, and the last the first.
pub(crate) fn find(uses: &Uses) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    let starts = uses.keys();
    starts.into_iter().find_map(|start| {
        let mut way = Vec::new();
        walk(start, uses, &mut way, &mut done)
    })
}

fn walk<'a>(
    module: &'a str,
    uses: &'a Uses,
    way: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Vec<String>> {
    if let Some(at) = way.iter().position(|it| *it == module) {
        return Some(way.iter().skip(at).map(|it| (*it).to_owned()).collect());
    }
    if done.contains(module) {
        return None;
    }
    way.push(module);
    let next = uses.get(module).into_iter().flatten();
    let circle = next
        .into_iter()
        .find_map(|next| walk(next, uses, way, done));
    way.pop();
    done.insert(module);
    circle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> BTreeSet<String> {
        ["a", "a::b", "c", "d"].map(str::to_owned).into()
    }

    fn uses_of(code: &str) -> Vec<String> {
        used(code, "d", &modules()).into_iter().collect()
    }

    #[test]
    fn paths_lead_to_the_deepest_file_that_they_name() {
        assert_eq!(uses_of("use crate::a::b::Type;"), ["a::b"]);
        assert_eq!(uses_of("fn f() { crate::a::g() }"), ["a"]);
        assert_eq!(
            uses_of("use crate::{a::{self, b::X}, c, d};"),
            ["a", "a::b", "c"]
        );
        assert!(uses_of("use other_crate::a::b;").is_empty());
    }

    #[test]
    fn a_circle_is_found_and_a_tree_is_none() {
        let uses = |pairs: &[(&str, &str)]| {
            let mut uses = Uses::new();
            for (from, to) in pairs {
                uses.entry((*from).to_owned())
                    .or_default()
                    .insert((*to).to_owned());
            }
            uses
        };
        let tree = [("a", "c"), ("a", "d"), ("c", "d")];
        assert_eq!(find(&uses(&tree)), None);
        let circle = [("a", "c"), ("c", "d"), ("d", "a")];
        assert_eq!(
            find(&uses(&circle)),
            Some(vec!["a".into(), "c".into(), "d".into()])
        );
    }
}
