//! What a component imports, and what the host makes of each.

use std::sync::Arc;

use wasmtime::component::Component;

/// An interface that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// Such as `wasi:http/types@0.2.12`.
    pub(crate) name: Arc<str>,
    /// Whether its functions do what they say. Those of others are linked, so that
    /// components in any language start, and fail at the call.
    pub(crate) is_granted: bool,
}

/// The most imports that are listed: a component may name more, and each is text in memory.
const MAX_LISTED: usize = 200;

/// The interfaces that a component imports, by name.
pub(crate) fn imports(component: &Component) -> Arc<[Import]> {
    let ty = component.component_type();
    let names = ty.imports(component.engine()).map(|(name, _)| name);
    let mut imports: Vec<Import> = names
        .take(MAX_LISTED)
        .map(|name| Import {
            name: name.into(),
            is_granted: is_granted(name),
        })
        .collect();
    imports.sort_by(|one, other| one.name.cmp(&other.name));
    imports.into()
}

/// Whether the host grants what an interface does.
fn is_granted(name: &str) -> bool {
    denied(name).is_none()
}

/// What a component does not get by an interface, if the host denies it.
pub(crate) fn denied(name: &str) -> Option<&'static str> {
    const DENIED: [(&str, &str); 3] = [
        ("wasi:filesystem/", "files"),
        ("wasi:sockets/", "sockets"),
        ("wasi:http/outgoing-handler", "outgoing HTTP"),
    ];
    let mut all = DENIED.into_iter();
    all.find_map(|(prefix, what)| name.starts_with(prefix).then_some(what))
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;

    use super::*;

    #[test]
    fn imports_are_listed_by_name_with_what_is_denied() {
        let engine = Engine::default();
        let text = r#"(component
            (import "wasi:http/types@0.2.3" (instance))
            (import "wasi:filesystem/types@0.2.3" (instance))
            (import "wasi:http/outgoing-handler@0.2.3" (instance)))"#;
        let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let imports = imports(&component);
        let listed = imports.iter().map(|it| (&*it.name, it.is_granted));
        let expected = [
            ("wasi:filesystem/types@0.2.3", false),
            ("wasi:http/outgoing-handler@0.2.3", false),
            ("wasi:http/types@0.2.3", true),
        ];
        assert_eq!(listed.collect::<Vec<_>>(), expected);
    }
}
