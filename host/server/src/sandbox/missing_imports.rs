//! Which imports of a component the host has not: all of them, where the linker names
//! the first.

use std::collections::{BTreeSet, HashMap};

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceType};

use crate::sandbox::load_error::{self, LoadError};
use crate::sandbox::store::State;
use fanlight_telemetry::sanitize::one_line;

/// The versions in which the host has its interfaces, as `linker.rs` and `wit/` have
/// them. One that is no release is taken in that version alone.
const HOST_VERSIONS: [&str; 2] = ["0.2.12", "0.1.0"];
/// The most missing imports that are listed.
const MAX_LISTED: usize = 32;
/// The most functions and resources that are looked for.
const MAX_LOOKED_FOR: usize = 20_000;
/// The longest name in the list, in bytes.
const MAX_NAME: usize = 120;
/// The longest name among the interfaces: an `Inspection` has none that is longer.
const MAX_COMPARED: usize = 2_560;

/// The imports that the host has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MissingImports {
    /// Interfaces that the host has nothing of, and parts that interfaces of the host
    /// have not: `a:b/c@1.0.0`, `wasi:io/streams@0.2.99 (function "new")`.
    pub(crate) listed: Vec<String>,
    /// The interfaces among them that the host has nothing of.
    pub(crate) interfaces: BTreeSet<String>,
    /// How many more there are.
    pub(crate) unlisted: usize,
}

impl MissingImports {
    /// Looks for each import of a component by name. Types are for the linker.
    pub(crate) fn of(linker: &Linker<State>, component: &Component) -> Self {
        let mut missing = Self::default();
        let mut lookup = Lookup::new(linker);
        let mut resources = Vec::new();
        let engine = component.engine();
        for (name, item) in component.component_type().imports(engine) {
            match item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    let parts = parts(&instance, engine, &mut resources);
                    let absent = lookup.absent(name, &parts);
                    match absent.len() {
                        0 => {}
                        count if count == parts.len() => {
                            missing.add_interface(name);
                        }
                        _ => absent.into_iter().for_each(|part| {
                            let shown = format_args!("{name} (\"{part}\")");
                            missing.add(one_line(shown, MAX_NAME));
                        }),
                    }
                }
                // A type has no implementation.
                ComponentItem::Type(_) => {}
                ComponentItem::Resource(resource) if resources.contains(&resource) => {}
                // The host has interfaces alone.
                _ => missing.add_interface(name),
            }
        }
        missing
    }

    /// Names them all. Where the host has them by name, some type differs, which the
    /// linker's `error` names.
    pub(crate) fn refusal(&self, error: &wasmtime::Error) -> LoadError {
        LoadError::Imports(match self.listed.is_empty() {
            true => load_error::text(format_args!("{error:#}")),
            false => self.to_string(),
        })
    }

    fn add_interface(&mut self, name: &str) {
        self.interfaces.insert(one_line(name, MAX_COMPARED));
        self.add(one_line(name, MAX_NAME));
    }

    fn add(&mut self, name: String) {
        match self.listed.len() < MAX_LISTED {
            true => self.listed.push(name),
            false => self.unlisted += 1,
        }
    }
}

impl std::fmt::Display for MissingImports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.listed.join(", "))?;
        match self.unlisted {
            0 => Ok(()),
            unlisted => write!(f, " and {unlisted} more"),
        }
    }
}

/// The functions and resources that an import names. What it takes of another import
/// is not one of its own: `resources` are those seen so far.
fn parts(
    instance: &ComponentInstance,
    engine: &wasmtime::Engine,
    resources: &mut Vec<ResourceType>,
) -> Vec<String> {
    let mut parts = Vec::new();
    for (name, item) in instance.exports(engine) {
        let is_own = match item.ty {
            ComponentItem::Type(_) => false,
            ComponentItem::Resource(resource) => {
                let is_new = resources.len() < MAX_LOOKED_FOR && !resources.contains(&resource);
                if is_new {
                    resources.push(resource);
                }
                is_new
            }
            _ => true,
        };
        if is_own && parts.len() < MAX_LOOKED_FOR {
            parts.push(name.to_owned());
        }
    }
    parts
}

/// Looks for what a linker has, which has no door for this: it refuses to define again
/// what is defined, and that is asked of a copy.
struct Lookup {
    linker: Linker<State>,
    /// What was asked before: by then the copy has it.
    asked: HashMap<(String, String), bool>,
}

impl Lookup {
    fn new(linker: &Linker<State>) -> Self {
        let mut linker = linker.clone();
        linker.allow_shadowing(false);
        Self {
            linker,
            asked: HashMap::new(),
        }
    }

    /// The parts of an interface that the linker has not, in whatever version it has
    /// it.
    fn absent(&mut self, interface: &str, parts: &[String]) -> Vec<String> {
        let parts = parts.iter();
        let absent = parts.filter(|part| !self.has(interface, part));
        absent.cloned().collect()
    }

    fn has(&mut self, interface: &str, part: &str) -> bool {
        let names = host_names(interface);
        names.into_iter().any(|name| self.has_exactly(name, part))
    }

    fn has_exactly(&mut self, interface: String, part: &str) -> bool {
        let key = (interface, part.to_owned());
        if let Some(&has) = self.asked.get(&key) {
            return has;
        }
        // What is not looked for is taken to be there: the linker has the last word.
        if self.asked.len() >= MAX_LOOKED_FOR {
            return true;
        }
        let has = self.linker.instance(&key.0).is_ok_and(|mut instance| {
            let defined = instance.func_new(part, |_, _, _, _| Ok(()));
            defined.is_err()
        });
        self.asked.insert(key, has);
        has
    }
}

/// The names by which the host may have an interface: its own, and those of versions
/// that are compatible with it.
fn host_names(interface: &str) -> Vec<String> {
    let mut names = vec![interface.to_owned()];
    if let Some((name, version)) = interface.rsplit_once('@') {
        let track = track(version);
        let others = HOST_VERSIONS.into_iter();
        let others = others.filter(|&host| track.is_some() && self::track(host) == track);
        names.extend(others.map(|host| format!("{name}@{host}")));
    }
    names
}

/// What compatible versions have in common: `0.2` of `0.2.3`, `1` of `1.4.0`.
fn track(version: &str) -> Option<&str> {
    let mut dots = version.match_indices('.').map(|(at, _)| at);
    let (first, second) = (dots.next()?, dots.next()?);
    let end = match version.starts_with("0.") {
        true => second,
        false => first,
    };
    version.get(..end).filter(|_| !version.contains('-'))
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine};

    use super::*;
    use crate::sandbox::linker;

    fn missing(imports: &str) -> MissingImports {
        let mut config = Config::new();
        config
            .concurrency_support(false)
            .wasm_component_model_async(false);
        let engine = Engine::new(&config).unwrap();
        let mut linker = Linker::new(&engine);
        linker::add_to_linker(&mut linker).unwrap();
        let bytes = wat::parse_str(format!("(component {imports})")).unwrap();
        let component = Component::from_binary(&engine, &bytes).unwrap();
        MissingImports::of(&linker, &component)
    }

    #[test]
    fn all_that_is_missing_is_listed_and_what_is_there_is_not() {
        let missing = missing(
            r#"(import "acme:missing/thing@1.0.0" (instance (export "f" (func))))
            (import "wasi:io/poll@0.2.0" (instance $poll
                (export "pollable" (type $p (sub resource)))
                (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
            (alias export $poll "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.99" (instance
                (alias outer 1 $pollable (type $outer))
                (export "pollable" (type $own (eq $outer)))
                (export "now" (func (result u64)))
                (export "wind-back" (func))))
            (import "wasi:sockets/tcp@0.3.0" (instance (export "tcp-socket" (type (sub resource)))))
            (import "wasi:otel/types@0.2.0-rc.2" (instance))
            (import "run" (func))"#,
        );
        let expected = [
            "acme:missing/thing@1.0.0",
            "wasi:clocks/monotonic-clock@0.2.99 (\"wind-back\")",
            "wasi:sockets/tcp@0.3.0",
            "run",
        ];
        assert_eq!(missing.listed, expected);
        let interfaces: Vec<_> = missing.interfaces.iter().map(String::as_str).collect();
        let expected = ["acme:missing/thing@1.0.0", "run", "wasi:sockets/tcp@0.3.0"];
        assert_eq!(interfaces, expected);
    }

    #[test]
    fn of_thousands_the_first_are_listed_and_the_others_counted() {
        // A component may import a thousand instances at most, and more functions.
        let imports = (0..3_000).map(|n| format!("(import \"f{n}\" (func))"));
        let missing = missing(&imports.collect::<String>());
        assert_eq!(missing.listed.len(), MAX_LISTED);
        let said = missing.to_string();
        assert!(said.starts_with("f0, f1, "), "{said}");
        assert!(said.ends_with(" and 2968 more"), "{said}");
    }

    #[test]
    fn compatible_versions_have_the_same_track() {
        assert_eq!(track("0.2.3"), Some("0.2"));
        assert_eq!(track("1.4.0"), Some("1"));
        assert_eq!(track("0.2.0-rc.2"), None);
        assert_eq!(track("1"), None);
    }
}
