//! What differs between two components, as lines for people.

use std::fmt::Write as _;

use bytesize::ByteSize;

use fanlight_server::{Changes, Footprint, InterfaceChanges};
use fanlight_telemetry::sanitize::one_line;

/// The most names that one line lists.
const MAX_LISTED: usize = 50;
/// The longest line, in bytes.
const MAX_LINE: usize = 8 * 1024;

/// One line for each kind of difference; none where nothing differs. What comes from a
/// server is escaped again.
pub(crate) fn lines(changes: &Changes) -> String {
    let mut lines = String::new();
    let mut line = |label: &str, text: String| {
        if !text.is_empty() {
            let text = one_line(text, MAX_LINE);
            let _ = writeln!(lines, "{label:<16} {text}");
        }
    };
    interfaces(&changes.imports, "imports", &mut line);
    interfaces(&changes.exports, "exports", &mut line);
    if let Some(change) = &changes.footprint {
        let (from, to) = (memories(&change.from), memories(&change.to));
        line("memory", arrow(&from, &to));
        let (from, to) = (tables(&change.from), tables(&change.to));
        line("tables", arrow(&from, &to));
    }
    line("tools added", listed(&changes.toolchain.added));
    line("tools removed", listed(&changes.toolchain.removed));
    lines
}

fn interfaces(changes: &InterfaceChanges, of: &str, line: &mut impl FnMut(&str, String)) {
    let mut added = listed(&changes.added);
    if changes.unlisted > 0 {
        let more = format!("{} that cannot be compared", changes.unlisted);
        added = match added.is_empty() {
            true => more,
            false => format!("{added} and {more}"),
        };
    }
    line(&format!("{of} added"), added);
    line(&format!("{of} removed"), listed(&changes.removed));
    let changed = changes.changed.iter().map(|it| {
        let (from, to) = (it.from.join(" and "), it.to.join(" and "));
        format!("{} {from} -> {to}", it.interface)
    });
    line(
        &format!("{of} changed"),
        listed(&changed.collect::<Vec<_>>()),
    );
}

/// Both, where they differ.
fn arrow(from: &str, to: &str) -> String {
    match from == to {
        true => String::new(),
        false => format!("{from} -> {to}"),
    }
}

/// Names with commas between them.
pub(crate) fn listed(names: &[String]) -> String {
    let shown = names.len().min(MAX_LISTED);
    let mut text = names[..shown].join(", ");
    if names.len() > shown {
        let _ = write!(text, " and {} more", names.len() - shown);
    }
    text
}

/// The memories that a component defines.
pub(crate) fn memories(footprint: &Footprint) -> String {
    let each = footprint.memories.iter().map(|memory| {
        let maximum = match memory.maximum_bytes {
            Some(maximum) => format!("at most {}", bytes(maximum)),
            None => "no maximum of its own".to_owned(),
        };
        format!("{} ({maximum})", bytes(memory.initial_bytes))
    });
    counted(footprint.memory_count, &each.collect::<Vec<_>>())
}

/// The tables that a component defines.
pub(crate) fn tables(footprint: &Footprint) -> String {
    let each = footprint.tables.iter().map(|table| {
        let maximum = match table.maximum {
            Some(maximum) => format!("at most {maximum}"),
            None => "no maximum of its own".to_owned(),
        };
        format!("{} elements ({maximum})", table.initial)
    });
    counted(footprint.table_count, &each.collect::<Vec<_>>())
}

fn counted(count: usize, each: &[String]) -> String {
    const SHOWN: usize = 8;
    match count {
        0 => "none".to_owned(),
        1 => each.concat(),
        _ => {
            let shown = each.len().min(SHOWN);
            let rest = if count > shown { ", …" } else { "" };
            format!("{count}: {}{rest}", each[..shown].join(", "))
        }
    }
}

/// A size with its unit.
pub(crate) fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use fanlight_server::VersionChange;

    use super::*;

    #[test]
    fn each_kind_of_difference_is_a_line_and_no_name_steers_the_terminal() {
        let changes = Changes {
            imports: InterfaceChanges {
                added: vec!["a:b/c@1.0.0".to_owned(), "bad\u{1b}[31m\n".to_owned()],
                removed: vec!["d".to_owned()],
                changed: vec![VersionChange {
                    interface: "wasi:http/types".to_owned(),
                    from: vec!["0.2.3".to_owned()],
                    to: vec!["0.2.6".to_owned()],
                }],
                unlisted: 3,
            },
            ..Changes::default()
        };
        let expected = "\
imports added    a:b/c@1.0.0, bad\\u{1b}[31m\\n and 3 that cannot be compared
imports removed  d
imports changed  wasi:http/types 0.2.3 -> 0.2.6
";
        assert_eq!(lines(&changes), expected);
        assert_eq!(lines(&Changes::default()), "");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<_> = (0..60).map(|n| n.to_string()).collect();
        assert!(listed(&names).ends_with("48, 49 and 10 more"));
    }
}
