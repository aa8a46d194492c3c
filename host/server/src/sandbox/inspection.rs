//! What a component states about itself and asks for, read from its bytes alone.
//!
//! Nothing is compiled and nothing is validated: a file that is no component yields what
//! could be read before the fault. Each list and text is bounded and escaped here, since
//! all of it is the component's own choice.

pub(crate) mod changes;
pub(crate) mod footprint;
pub(crate) mod interfaces;
pub(crate) mod toolchain;

use serde::Serialize;
use wasmparser::{Parser, Payload};

use crate::sandbox::inspection::footprint::Footprint;
use crate::sandbox::inspection::interfaces::Interfaces;
use crate::sandbox::inspection::toolchain::Toolchain;
use fanlight_telemetry::sanitize::one_line;

/// Sections of one text each, as `wasm-tools metadata add` writes them.
const TEXTS: [&str; 6] = [
    "description",
    "authors",
    "licenses",
    "source",
    "homepage",
    "revision",
];
/// The longest of these texts, in bytes.
const MAX_TEXT: usize = 512;

/// What a component states about itself and asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What it imports.
    pub imports: Interfaces,
    /// What it exports.
    pub exports: Interfaces,
    /// Its memories and tables.
    pub footprint: Footprint,
    /// What it was made with.
    pub toolchain: Toolchain,
    /// Other texts of its metadata.
    pub about: Vec<AboutText>,
    /// The core modules in it.
    pub modules: usize,
    /// The components in it, itself not counted.
    pub components: usize,
}

/// A text of a component's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AboutText {
    /// Such as `description`.
    pub name: &'static str,
    /// One line.
    pub text: String,
}

impl Inspection {
    /// Reads a component. Imports, exports and texts are its own; memories, tables and
    /// producers are those of all its parts.
    pub fn read(bytes: &[u8]) -> Self {
        let mut read = Self::default();
        let mut depth = 0_u32;
        // What follows a fault is not read.
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    read.modules += 1;
                }
                Payload::ComponentSection { .. } => {
                    depth += 1;
                    read.components += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    let imports = section.into_iter().map_while(Result::ok);
                    imports.for_each(|it| read.imports.add(it.name.name));
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    let exports = section.into_iter().map_while(Result::ok);
                    exports.for_each(|it| read.exports.add(it.name.name));
                }
                Payload::MemorySection(memories) => {
                    let memories = memories.into_iter().map_while(Result::ok);
                    memories.for_each(|it| read.footprint.add_memory(&it));
                }
                Payload::TableSection(tables) => {
                    let tables = tables.into_iter().map_while(Result::ok);
                    tables.for_each(|it| read.footprint.add_table(&it.ty));
                }
                Payload::CustomSection(section) => {
                    read.toolchain.add(&section.as_known());
                    if depth == 0 {
                        read.add_text(section.name(), section.data());
                    }
                }
                _ => {}
            }
        }
        read
    }

    fn add_text(&mut self, name: &str, data: &[u8]) {
        let name = TEXTS.into_iter().find(|known| *known == name);
        // The first of a name counts.
        let name = name.filter(|name| self.about.iter().all(|it| it.name != *name));
        if let (Some(name), Ok(text)) = (name, std::str::from_utf8(data)) {
            self.about.push(AboutText {
                name,
                text: one_line(text, MAX_TEXT),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Inspection {
        Inspection::read(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn imports_and_exports_are_the_components_own_and_memories_those_of_its_parts() {
        let read = read(
            r#"(component
                (import "wasi:http/types@0.2.3" (instance))
                (component
                    (import "wasi:sockets/tcp@0.2.3" (instance))
                    (core module (memory 1 2)))
                (core module (memory 3) (table 5 9 funcref))
                (instance $none)
                (export "shop:prices/list@1.0.0" (instance $none)))"#,
        );
        assert_eq!(read.imports.names(), ["wasi:http/types@0.2.3"]);
        assert_eq!(read.exports.names(), ["shop:prices/list@1.0.0"]);
        assert_eq!((read.modules, read.components), (2, 1));
        let memories = read.footprint.memories.iter();
        let memories: Vec<_> = memories
            .map(|it| (it.initial_bytes, it.maximum_bytes))
            .collect();
        let pages = |pages: u64| pages * 64 * 1024;
        assert_eq!(memories, [(pages(1), Some(pages(2))), (pages(3), None)]);
        assert_eq!(read.footprint.tables.len(), 1);
    }

    #[test]
    fn texts_are_bounded_and_cannot_steer_a_terminal() {
        let read = read(
            r#"(component
                (@custom "description" "a\1b[31m\0aINFO b")
                (@custom "description" "another")
                (@custom "unknown" "x"))"#,
        );
        let expected = AboutText {
            name: "description",
            text: r"a\u{1b}[31m\nINFO b".to_owned(),
        };
        assert_eq!(read.about, [expected]);
    }

    #[test]
    fn what_is_no_component_yields_what_came_before_the_fault() {
        let text = r#"(component (import "a" (func)) (import "b" (func)))"#;
        let bytes = wat::parse_str(text).unwrap();
        for length in 0..bytes.len() {
            let read = Inspection::read(&bytes[..length]);
            assert!(read.imports.names().len() <= 2);
        }
        assert_eq!(Inspection::read(b"hello"), Inspection::default());
    }
}
