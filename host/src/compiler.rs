//! Turns the bytes of a file into a linked component, off the serving path.
//!
//! Compiling happens on threads of its own with the lowest priority: the
//! caller's would do nothing, as the engine compiles in parallel on whatever
//! pool it is called in. Knows no slot and no request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::direct_imports::link_directly;
use crate::engine::{EngineConfig, TABLES_PER_SLOT};
use crate::identity::Identity;
use crate::load_error::{self, LoadError};
use crate::state::{self, State};

/// The step down from the priority of serving threads: the longest that there
/// is, so that a compile takes what they leave over.
const NICE: i32 = 10;
/// A page of a memory that says nothing of its own: 64 KiB.
const PAGE_SIZE_LOG2: u32 = 16;

/// Compiles and links components, one pool of threads for all of them.
pub(crate) struct Compiler {
    engine: Engine,
    linker: Arc<Linker<State>>,
    threads: rayon::ThreadPool,
    max_bytes: usize,
    max_instances: u32,
    settings: Settings,
}

/// What compiling is told of.
#[derive(Clone, Copy)]
struct Settings {
    max_memory_bytes: usize,
    direct_imports: bool,
}

/// A compiled component, before it is linked.
pub(crate) struct Compiled {
    component: Component,
    pub(crate) identity: Identity,
}

/// A component that could be served.
pub(crate) struct Linked {
    pub(crate) pre: ProxyPre<State>,
    pub(crate) identity: Identity,
    /// The places that an instance takes.
    pub(crate) places: u32,
}

impl Compiler {
    /// Starts the threads and links the host's side once for all components.
    ///
    /// # Errors
    /// Where threads cannot be started, or two interfaces have the same name.
    pub(crate) fn new(engine: Engine, config: &EngineConfig) -> anyhow::Result<Self> {
        let mut linker = Linker::new(&engine);
        state::add_to_linker(&mut linker).map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let threads = rayon::ThreadPoolBuilder::new()
            .thread_name(|n| format!("compile-{n}"))
            .start_handler(|_| {
                // Compiling at a higher priority is still compiling.
                let _ = rustix::process::nice(NICE);
            })
            .build()?;
        Ok(Self {
            engine,
            linker: Arc::new(linker),
            threads,
            max_bytes: config.max_component_bytes,
            max_instances: config.max_instances.get(),
            settings: Settings {
                max_memory_bytes: config.max_memory_bytes,
                direct_imports: config.direct_imports,
            },
        })
    }

    /// The largest file that is taken, in bytes.
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Refuses what can be seen to be no component without compiling it.
    ///
    /// # Errors
    /// Where the bytes are too many, no WebAssembly, or a core module.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), LoadError> {
        if bytes.len() > self.max_bytes {
            return Err(LoadError::TooLarge {
                max_bytes: self.max_bytes,
            });
        }
        // The text format is for people; what is served is what was built.
        if !bytes.starts_with(b"\0asm") {
            return Err(LoadError::NotAComponent(match bytes.len() {
                0 => "it is empty".to_owned(),
                _ => "it does not begin with the magic number".to_owned(),
            }));
        }
        // The layer field after the version: 0 is a module, 1 a component.
        if bytes.get(6..8) == Some(&[0, 0]) {
            return Err(LoadError::CoreModule);
        }
        Ok(())
    }

    /// Checks and compiles on the calling thread and the pool's.
    ///
    /// # Errors
    /// Where the bytes are no component that the engine takes, or one that takes more
    /// memory than an instance has.
    pub(crate) fn compile(&self, bytes: &[u8]) -> Result<Compiled, LoadError> {
        self.check(bytes)?;
        self.threads
            .install(|| compile(&self.engine, bytes, self.settings))
    }

    /// Checks and compiles without holding up the caller's thread.
    ///
    /// # Errors
    /// Where the bytes are no component that the engine takes, or one that takes more
    /// memory than an instance has.
    ///
    /// # Cancel safety
    /// Dropped, it lets a compile that has begun go on, for nothing.
    pub(crate) async fn compile_aside(&self, bytes: Bytes) -> Result<Compiled, LoadError> {
        self.check(&bytes)?;
        tracing::debug!(bytes = bytes.len(), "compiling");
        let (engine, settings) = (self.engine.clone(), self.settings);
        let (sender, receiver) = oneshot::channel();
        self.threads.spawn(move || {
            // Whoever asked may be gone by now.
            let _ = sender.send(compile(&engine, &bytes, settings));
        });
        let ended = receiver.await;
        ended.unwrap_or_else(|_| Err(LoadError::NotAComponent("the compiler is gone".to_owned())))
    }

    /// Checks imports and exports, and links.
    ///
    /// # Errors
    /// Where the component imports what is not there, exports no handler, or takes
    /// more room than there is.
    pub(crate) fn link(&self, compiled: Compiled) -> Result<Linked, LoadError> {
        let pre = self
            .linker
            .instantiate_pre(&compiled.component)
            .map_err(|error| LoadError::Imports(text(&error)))?;
        let pre = ProxyPre::new(pre).map_err(|error| LoadError::Exports(text(&error)))?;
        let (places, max_instances) = (places(&compiled.component), self.max_instances);
        if places > max_instances {
            return Err(LoadError::TooManyParts {
                places,
                max_instances,
            });
        }
        Ok(Linked {
            pre,
            identity: compiled.identity,
            places,
        })
    }
}

/// What the engine says of a component, with its sources.
fn text(error: &wasmtime::Error) -> String {
    load_error::text(format_args!("{error:#}"))
}

/// The places that an instance takes: a slot of the pool has one memory, and some
/// tables. Components that were joined have a memory each.
fn places(component: &Component) -> u32 {
    // None is one that imports modules, and no host has any.
    component.resources_required().map_or(1, |required| {
        let by_tables = required.num_tables.div_ceil(TABLES_PER_SLOT);
        required.num_memories.max(by_tables).max(1)
    })
}

fn compile(engine: &Engine, bytes: &[u8], settings: Settings) -> Result<Compiled, LoadError> {
    // What panics on what somebody sent must not take the server along.
    let compiled = catch_unwind(AssertUnwindSafe(|| {
        let (memory, max_bytes) = (largest_memory(bytes), settings.max_memory_bytes as u64);
        if memory > max_bytes {
            return Err(LoadError::TooMuchMemory {
                bytes: memory,
                max_bytes,
            });
        }
        let component = match settings.direct_imports {
            true => component(engine, bytes),
            false => Component::from_binary(engine, bytes),
        };
        Ok(Compiled {
            component: component.map_err(|error| LoadError::NotAComponent(text(&error)))?,
            identity: Identity::of(bytes),
        })
    }));
    compiled.unwrap_or_else(|_| {
        Err(LoadError::NotAComponent(
            "the compiler panicked on it".to_owned(),
        ))
    })
}

/// The bytes with which the largest memory of a component's modules begins. What is
/// behind a fault is not read: the engine tells of the fault.
fn largest_memory(bytes: &[u8]) -> u64 {
    let payloads = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let memories = payloads.filter_map(|payload| match payload {
        Payload::MemorySection(memories) => Some(memories.into_iter().map_while(Result::ok)),
        _ => None,
    });
    let bytes = memories.flatten().map(|memory| {
        let page_bytes = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(PAGE_SIZE_LOG2));
        memory
            .initial
            .saturating_mul(page_bytes.unwrap_or(u64::MAX))
    });
    bytes.max().unwrap_or(0)
}

/// Compiles a component with its imports linked directly, where that can be.
fn component(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    let linked = match link_directly(bytes) {
        Ok(linked) => linked,
        Err(stays) => {
            tracing::debug!(%stays, "imports are linked as the component has them");
            return Component::from_binary(engine, bytes);
        }
    };
    tracing::debug!("imports are linked directly");
    Component::from_binary(engine, &linked).or_else(|error| {
        // What is wrong with a component is told of it as it was sent.
        let component = Component::from_binary(engine, bytes)?;
        tracing::warn!(
            error = text(&error),
            "imports cannot be linked directly: each request takes longer"
        );
        Ok(component)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_whose_linked_form_is_none_is_compiled_as_it_is() {
        // A shim that takes more than it hands on: linked directly the types differ.
        let text = include_str!("direct_imports/tests.wat")
            .replace("(func $name (param i32))", "(func $name (param i32 i32))")
            .replace(
                "(call $name (i32.const 64))",
                "(call $name (i32.const 64) (i32.const 0))",
            )
            .replace(
                "(func (export \"0\") (param i32)",
                "(func (export \"0\") (param i32 i32)",
            );
        let bytes = wat::parse_str(text).unwrap();
        let engine = Engine::default();
        let linked = link_directly(&bytes).unwrap();
        assert!(Component::from_binary(&engine, &linked).is_err());
        assert!(super::component(&engine, &bytes).is_ok());
    }
}
