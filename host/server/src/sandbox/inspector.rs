//! Says whether a file could be served, without compiling its code.
//!
//! All that is compiled are a component's imports: the sections before them hold types.
//! So the linker can compare them with what the host has, in milliseconds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::config::MemoryBounds;
use crate::sandbox::compiled_file::{CompiledFile, is_compiled};
use crate::sandbox::engine::{EngineConfig, EngineError, compile_engine};
use crate::sandbox::imports::{Denial, denied};
use crate::sandbox::inspection::Inspection;
use crate::sandbox::linker;
use crate::sandbox::load_checks::{check_kind, check_limits, invalid};
use crate::sandbox::load_error::{self, LoadError};
use crate::sandbox::metadata::Identity;
use crate::sandbox::missing_imports::MissingImports;
use crate::sandbox::store::State;
use crate::sandbox::wasm_features::{self, Validity};

/// The interface by which a component answers requests.
const HANDLER: &str = "wasi:http/incoming-handler@0.2.";

/// Reads components as a server would, short of compiling their code.
pub struct Inspector {
    engine: Engine,
    linker: Linker<State>,
    bounds: MemoryBounds,
    grants_calls: bool,
    max_bytes: usize,
}

/// What is known of a component, and whether it could be served.
#[derive(Debug)]
pub struct InspectedComponent {
    /// `sha256:` and hexadecimal digits, of the file.
    pub digest: String,
    /// What its metadata says, or else the first 12 digits.
    pub version: String,
    /// What its metadata calls it, if anything.
    pub name: Option<String>,
    /// The size of the file.
    pub bytes: usize,
    /// The size of its stack as LLVM lays one out; 0 where there is none.
    pub stack_bytes: u32,
    /// What it states about itself and asks for.
    pub inspection: Inspection,
    /// What the host makes of each import.
    pub imports: Vec<InspectedImport>,
    /// What compiled it and the size of the native code, where the file has some.
    pub compiled: Option<NativePart>,
    /// Why a server would refuse it, as far as can be seen without compiling it.
    pub refusal: Option<LoadError>,
}

/// The native code in a file of `fanlight compile`, of which no more is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativePart {
    /// Such as `fanlight 0.1.0 for x86_64-linux`.
    pub compiled_by: String,
    /// Its size.
    pub bytes: usize,
}

/// What the host makes of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedImport {
    /// Such as `wasi:http/types@0.2.3`.
    pub name: String,
    /// What the host makes of it.
    pub access: ImportAccess,
}

/// What the host makes of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportAccess {
    /// Its functions do what they say.
    Granted,
    /// It is linked, and its functions fail: the component does not get this, such as
    /// `sockets`.
    Denied(Denial),
    /// The host has no such interface.
    Missing,
}

impl Inspector {
    /// Links the host's side once for all files.
    ///
    /// # Errors
    /// Where the engine does not take its configuration.
    pub fn new(config: &EngineConfig) -> Result<Self, EngineError> {
        let engine = compile_engine(config)?;
        let mut linker = Linker::new(&engine);
        linker::add_to_linker(&mut linker).map_err(|error| EngineError::of_wasmtime(&error))?;
        Ok(Self {
            engine,
            linker,
            bounds: config.memory_bounds(),
            grants_calls: config.grants_calls,
            max_bytes: config.max_component_bytes,
        })
    }

    /// Reads one component.
    ///
    /// # Errors
    /// Where the file is no component, whatever a server is made for.
    pub fn inspect(&self, bytes: &[u8]) -> Result<InspectedComponent, LoadError> {
        if !is_compiled(bytes) {
            return self.inspect_component(bytes);
        }
        let file = CompiledFile::read(bytes)?;
        let mut inspected = self.inspect_component(file.component)?;
        inspected.refusal = inspected.refusal.or(file.check_target().err());
        inspected.compiled = Some(NativePart {
            compiled_by: file.header.compiled_by(),
            bytes: file.code.len(),
        });
        Ok(inspected)
    }

    fn inspect_component(&self, bytes: &[u8]) -> Result<InspectedComponent, LoadError> {
        check_kind(bytes, self.max_bytes)?;
        let unoffered = match wasm_features::validity(bytes) {
            Validity::Valid => None,
            Validity::Needs(features) => Some(LoadError::UnsupportedFeatures(features)),
            Validity::Invalid(wrong) => match invalid(wrong) {
                error @ LoadError::EngineLimit(_) => Some(error),
                error => return Err(error),
            },
        };
        let identity = Identity::of(bytes);
        let inspection = Inspection::read(bytes);
        let (missing, unlinked) = match &unoffered {
            None => self.link_imports(bytes),
            Some(_) => (MissingImports::default(), None),
        };
        let refusal = check_limits(bytes, self.bounds)
            .err()
            .or(unoffered)
            .or(unlinked)
            .or_else(|| check_exports(&inspection).err());
        let imports = inspection.imports.names().into_iter().map(|name| {
            let access = match denied(&name, self.grants_calls) {
                _ if missing.interfaces.contains(&name) => ImportAccess::Missing,
                Some(denial) => ImportAccess::Denied(denial),
                None => ImportAccess::Granted,
            };
            InspectedImport { name, access }
        });
        Ok(InspectedComponent {
            digest: identity.digest.to_string(),
            version: identity.version.to_string(),
            name: identity.claims.name.as_deref().map(str::to_owned),
            bytes: identity.bytes,
            stack_bytes: identity.claims.stack_bytes,
            imports: imports.collect(),
            inspection,
            compiled: None,
            refusal,
        })
    }

    /// Compares the imports with what the host has.
    fn link_imports(&self, bytes: &[u8]) -> (MissingImports, Option<LoadError>) {
        // A panic of the compiler must not end the program.
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            Component::from_binary(&self.engine, up_to_imports(bytes))
                .map_err(|error| load_error::text(format_args!("{error:#}")))
        }));
        let compiled = compiled.unwrap_or_else(|_| Err("the compiler panicked on it".to_owned()));
        let component = match compiled {
            Ok(component) => component,
            Err(reason) => {
                return (MissingImports::default(), Some(LoadError::Compile(reason)));
            }
        };
        match self.linker.instantiate_pre(&component) {
            Ok(_) => (MissingImports::default(), None),
            Err(error) => {
                let missing = MissingImports::of(&self.linker, &component);
                let refusal = missing.refusal(&error);
                (missing, Some(refusal))
            }
        }
    }
}

/// A component's beginning, up to its last import: a component of its own.
fn up_to_imports(bytes: &[u8]) -> &[u8] {
    // The magic number, the version and the layer.
    let mut end = 8;
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => end = imports.range().end,
            _ => {}
        }
    }
    bytes.get(..end).unwrap_or(bytes)
}

fn check_exports(inspection: &Inspection) -> Result<(), LoadError> {
    let exports = inspection.exports.names();
    match exports.iter().any(|name| name.starts_with(HANDLER)) {
        true => Ok(()),
        false => Err(LoadError::Exports(match exports.is_empty() {
            true => "it exports nothing".to_owned(),
            false => load_error::text(format_args!("it exports {}", exports.join(", "))),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_component_ends_with_its_last_import() {
        let first = r#"(import "a" (func)) (core module) (import "b" (func))"#;
        let rest = r#"(core module (memory 1)) (component (import "c" (func)))"#;
        let bytes = wat::parse_str(format!("(component {first} {rest})")).unwrap();
        let beginning = up_to_imports(&bytes);
        let component = Component::from_binary(&Engine::default(), beginning).unwrap();
        let ty = component.component_type();
        let engine = component.engine();
        let names: Vec<_> = ty.imports(engine).map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
        let without = wat::parse_str("(component (core module))").unwrap();
        assert_eq!(up_to_imports(&without).len(), 8);
    }
}
