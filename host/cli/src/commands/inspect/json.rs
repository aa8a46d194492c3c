//! What is known of a component, as one JSON object.

use serde_json::{Value, json};

use fanlight_server::{Changes, ImportAccess, InspectedComponent};

/// All that is known of one component.
pub(crate) fn of_component(file: &str, component: &InspectedComponent) -> anyhow::Result<String> {
    line(&object(file, component)?)
}

/// What differs when one component takes the place of another.
pub(crate) fn of_changes(
    old: (&str, &InspectedComponent),
    new: (&str, &InspectedComponent),
    changes: &Changes,
) -> anyhow::Result<String> {
    line(&json!({
        "old": object(old.0, old.1)?,
        "new": object(new.0, new.1)?,
        "changes": changes,
        "asks_for_more": changes.imports.has_new(),
    }))
}

fn line(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}

fn object(file: &str, component: &InspectedComponent) -> anyhow::Result<Value> {
    let read = &component.inspection;
    let imports = component.imports.iter().map(|import| {
        let (access, denied) = match import.access {
            ImportAccess::Granted => ("granted", None),
            ImportAccess::Denied(denial) => ("denied", Some(denial)),
            ImportAccess::Missing => ("missing", None),
        };
        json!({
            "name": import.name,
            "access": access,
            "denied": denied.map(|it| it.what),
            "granted_by": denied.and_then(|it| it.flag),
        })
    });
    let refusal = component
        .refusal
        .as_ref()
        .map(|refusal| json!({ "error_type": refusal.error_type(), "reason": refusal.reason() }));
    let compiled = component
        .compiled
        .as_ref()
        .map(|native| json!({ "compiled_by": native.compiled_by, "size": native.bytes }));
    Ok(json!({
        "file": file,
        "native_code": compiled,
        "name": component.name,
        "version": component.version,
        "digest": component.digest,
        "size": component.bytes,
        "modules": read.modules,
        "components": read.components,
        "stack_bytes": component.stack_bytes,
        "toolchain": read.toolchain,
        "packages": read.imports.packages(),
        "footprint": read.footprint,
        "about": read.about,
        "imports": imports.collect::<Vec<_>>(),
        "imports_unlisted": read.imports.unlisted(),
        "exports": read.exports.names(),
        "exports_unlisted": read.exports.unlisted(),
        "accepted": component.refusal.is_none(),
        "refusal": refusal,
    }))
}
