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

/// What the host denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// In a word, such as `sockets`.
    pub what: &'static str,
    /// The flag that grants it; none: no flag does.
    pub flag: Option<&'static str>,
}

/// The most imports that are listed: a component may name more, and each is text in memory.
const MAX_LISTED: usize = 200;

/// The interfaces that a component imports, by name, where the host grants calls to
/// other services or not.
pub(crate) fn imports(component: &Component, grants_calls: bool) -> Arc<[Import]> {
    let ty = component.component_type();
    let names = ty.imports(component.engine()).map(|(name, _)| name);
    let mut imports: Vec<Import> = names
        .take(MAX_LISTED)
        .map(|name| Import {
            name: name.into(),
            is_granted: is_granted(name, grants_calls),
        })
        .collect();
    imports.sort_by(|one, other| one.name.cmp(&other.name));
    imports.into()
}

/// Whether the host grants what an interface does.
fn is_granted(name: &str, grants_calls: bool) -> bool {
    denied(name, grants_calls).is_none()
}

/// What a component does not get by an interface, if the host denies it.
pub(crate) fn denied(name: &str, grants_calls: bool) -> Option<Denial> {
    const CALLS: Denial = Denial {
        what: "outgoing HTTP",
        flag: Some("--allow-outbound"),
    };
    const FILES: Denial = Denial {
        what: "files",
        flag: None,
    };
    const SOCKETS: Denial = Denial {
        what: "sockets",
        flag: None,
    };
    let is_of = |prefix| name.starts_with(prefix);
    match () {
        () if is_of("wasi:filesystem/") => Some(FILES),
        () if is_of("wasi:sockets/") => Some(SOCKETS),
        () if is_of("wasi:http/outgoing-handler") && !grants_calls => Some(CALLS),
        () => None,
    }
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
        for grants_calls in [false, true] {
            let imports = imports(&component, grants_calls);
            let listed = imports.iter().map(|it| (&*it.name, it.is_granted));
            let expected = [
                ("wasi:filesystem/types@0.2.3", false),
                ("wasi:http/outgoing-handler@0.2.3", grants_calls),
                ("wasi:http/types@0.2.3", true),
            ];
            assert_eq!(listed.collect::<Vec<_>>(), expected);
        }
    }
}
