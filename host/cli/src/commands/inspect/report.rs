//! What is known of a component, as lines for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::commands::inspect::changes;
use fanlight_server::{Changes, ImportAccess, InspectedComponent};
use fanlight_telemetry::sanitize::one_line;

/// The longest line, in bytes.
const MAX_LINE: usize = 4 * 1024;
/// The most imports, and the most exports, that are listed.
const MAX_LISTED: usize = 200;

/// All that is known of one component.
pub(crate) fn of_component(file: &str, component: &InspectedComponent) -> String {
    let mut text = format!("{file}\n");
    let mut fact = |label: &str, value: String| {
        if !value.is_empty() {
            let value = one_line(value, MAX_LINE);
            let _ = writeln!(text, "  {label:<12} {value}");
        }
    };
    let read = &component.inspection;
    fact("name", component.name.clone().unwrap_or_default());
    fact("version", component.version.clone());
    fact("digest", component.digest.clone());
    let counted = |count: usize, what: &str| {
        let s = if count == 1 { "" } else { "s" };
        format!("{count} {what}{s}")
    };
    let mut parts = counted(read.modules, "core module");
    if read.components > 0 {
        parts = format!("{parts}, {}", counted(read.components, "inner component"));
    }
    let size = changes::bytes(component.bytes as u64);
    fact("size", format!("{size}, {parts}"));
    if let Some(native) = &component.compiled {
        let size = changes::bytes(native.bytes as u64);
        fact("native code", format!("{size}, by {}", native.compiled_by));
    }
    let joined = |entries: &BTreeSet<String>| {
        let entries: Vec<_> = entries.iter().cloned().collect();
        changes::listed(&entries)
    };
    fact("language", joined(&read.toolchain.languages));
    fact("tools", joined(&read.toolchain.tools));
    fact("sdk", joined(&read.toolchain.sdks));
    fact("packages", joined(&read.imports.packages()));
    fact("memory", changes::memories(&read.footprint));
    fact("tables", changes::tables(&read.footprint));
    if component.stack_bytes > 0 {
        fact("stack", changes::bytes(component.stack_bytes.into()));
    }
    for about in &read.about {
        fact(about.name, about.text.clone());
    }
    list_imports(component, &mut text);
    list(
        &read.exports.names(),
        read.exports.unlisted(),
        "exports",
        &mut text,
    );
    text.push('\n');
    verdict(component, &mut text);
    text
}

/// What differs when one component takes the place of another.
pub(crate) fn of_changes(file: &str, new: &InspectedComponent, changes: &Changes) -> String {
    let mut text = changes::lines(changes);
    if text.is_empty() {
        text.push_str("nothing differs in what the components ask for or were made with\n");
    }
    text.push('\n');
    notes(new, &mut text);
    let more = match changes.imports.has_new() {
        true => "imports what the old component does not: --deny-new-imports refuses it",
        false => "imports nothing that the old component does not",
    };
    let _ = writeln!(text, "{file} {more}.");
    verdict(new, &mut text);
    text
}

fn list_imports(component: &InspectedComponent, text: &mut String) {
    let read = &component.inspection;
    let names = component.imports.iter().map(|import| {
        let access = match import.access {
            ImportAccess::Granted => "",
            ImportAccess::Denied(_) => " (denied)",
            ImportAccess::Missing => " (missing)",
        };
        format!("{}{access}", import.name)
    });
    let names: Vec<_> = names.collect();
    list(&names, read.imports.unlisted(), "imports", text);
    notes(component, text);
}

fn list(names: &[String], unlisted: usize, label: &str, text: &mut String) {
    let _ = writeln!(text, "\n{label}: {}", names.len() + unlisted);
    for name in names.iter().take(MAX_LISTED) {
        let _ = writeln!(text, "  {}", one_line(name, MAX_LINE));
    }
    match names.len().saturating_sub(MAX_LISTED) + unlisted {
        0 => {}
        more => {
            let _ = writeln!(text, "  and {more} more");
        }
    }
}

/// What the host makes of imports that do less than they say.
fn notes(component: &InspectedComponent, text: &mut String) {
    let denials: BTreeSet<_> = component
        .imports
        .iter()
        .filter_map(|import| match import.access {
            ImportAccess::Denied(denial) => Some(denial),
            _ => None,
        })
        .collect();
    for (flag, what) in denials
        .iter()
        .filter_map(|denial| Some((denial.flag?, denial.what)))
    {
        let _ = writeln!(
            text,
            "Denied without {flag}: {what}. The component starts, and every such call fails."
        );
    }
    let denied = denials.iter().filter(|denial| denial.flag.is_none());
    let denied: Vec<_> = denied.map(|denial| denial.what.to_owned()).collect();
    if !denied.is_empty() {
        let _ = writeln!(
            text,
            "Denied: {}. The component starts, and every such call fails. No flag grants them.",
            changes::listed(&denied)
        );
    }
    let is_environment = |name: &str| name.starts_with("wasi:cli/environment");
    if component.imports.iter().any(|it| is_environment(&it.name)) {
        text.push_str(
            "wasi:cli/environment holds no variable and no argument. No flag sets any.\n",
        );
    }
}

/// Whether a server would take it.
fn verdict(component: &InspectedComponent, text: &mut String) {
    let _ = match &component.refusal {
        None => writeln!(
            text,
            "fanlight serve would accept it, as far as can be seen without compiling it."
        ),
        Some(refusal) => writeln!(
            text,
            "fanlight serve would refuse it ({}): {}",
            refusal.error_type(),
            one_line(refusal.reason(), MAX_LINE)
        ),
    };
}
