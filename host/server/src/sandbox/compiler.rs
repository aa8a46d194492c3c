//! Turns the bytes of a file into a linked component, off the serving path.
//!
//! Compiling happens on threads of its own with the lowest priority: the
//! caller's would do nothing, as the engine compiles in parallel on whatever
//! pool it is called in. Knows no slot and no request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use fanlight_relink::link_directly;
use tokio::sync::oneshot;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::config::MemoryBounds;
use crate::sandbox::compile_cache::CompileCache;
use crate::sandbox::compiled_file::{CompiledFile, NativeCode, is_compiled};
use crate::sandbox::engine::{EngineConfig, EngineError, MAX_KEEP_RESIDENT, TickingEngine};
use crate::sandbox::imports::imports;
use crate::sandbox::inspection::Inspection;
use crate::sandbox::linked_component::{LinkedComponent, places};
use crate::sandbox::linker;
use crate::sandbox::load_checks::{check_kind, check_limits, refusal};
use crate::sandbox::load_error::{self, LoadError};
use crate::sandbox::metadata::Identity;
use crate::sandbox::missing_imports::MissingImports;
use crate::sandbox::native_code;
use crate::sandbox::scheduler::FairScheduler;
use crate::sandbox::store::State;
use crate::sandbox::trial::Trial;

/// The step down from the priority of serving threads: the longest that there
/// is, so that a compile takes what they leave over.
const NICE: i32 = 10;

/// Compiles and links components, one pool of threads for all of them.
pub(crate) struct Compiler {
    engine: Engine,
    linker: Arc<Linker<State>>,
    threads: rayon::ThreadPool,
    max_instances: u32,
    settings: Settings,
    cache: Option<Arc<CompileCache>>,
    trial: Arc<Trial>,
    scheduler: Arc<FairScheduler>,
}

/// The settings that compiling depends on.
#[derive(Clone, Copy)]
struct Settings {
    max_bytes: usize,
    bounds: MemoryBounds,
    direct_imports: bool,
    grants_calls: bool,
}

/// A compiled component, before it is linked.
pub(crate) struct Compiled {
    component: Component,
    pub(crate) identity: Identity,
    inspection: Inspection,
}

impl Compiled {
    fn new(component: Component, bytes: &[u8]) -> Self {
        Self {
            component,
            identity: Identity::of(bytes),
            inspection: Inspection::read(bytes),
        }
    }

    /// The native code, as the engine loads it.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub(crate) fn code(&self) -> Result<Vec<u8>, LoadError> {
        let code = self.component.serialize();
        code.map_err(|error| LoadError::Compile(text(&error)))
    }
}

impl Compiler {
    /// Starts the threads and links the host's side once for all components.
    ///
    /// # Errors
    /// Where threads cannot be started, or two interfaces have the same name.
    pub(crate) fn new(engine: &TickingEngine, config: &EngineConfig) -> Result<Self, EngineError> {
        let bounds = config.memory_bounds();
        let scheduler = Arc::clone(engine.scheduler());
        let trial = Trial::new(bounds, Arc::clone(&scheduler))?;
        let cache = engine.cache().cloned();
        let engine = engine.engine().clone();
        let mut linker = Linker::new(&engine);
        linker::add_to_linker(&mut linker).map_err(|error| EngineError::of_wasmtime(&error))?;
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
            max_instances: config.max_instances.get(),
            settings: Settings {
                max_bytes: config.max_component_bytes,
                bounds,
                direct_imports: config.direct_imports,
                grants_calls: config.grants_calls,
            },
            cache,
            trial: Arc::new(trial),
            scheduler,
        })
    }

    /// The largest file that is taken, in bytes.
    pub(crate) fn max_bytes(&self) -> usize {
        self.settings.max_bytes
    }

    /// Refuses what can be seen to be no component without compiling it.
    ///
    /// # Errors
    /// Where the bytes are too many, no WebAssembly, or a core module, and where they are
    /// native code that is not trusted.
    pub(crate) fn check(&self, bytes: &[u8], native: NativeCode) -> Result<(), LoadError> {
        if !is_compiled(bytes) {
            return check_kind(bytes, self.settings.max_bytes);
        }
        match native {
            NativeCode::Refused => Err(LoadError::CompiledUpload),
            // To see more of it takes a while: that is for the compiler's threads.
            NativeCode::Trusted => Ok(()),
        }
    }

    /// Checks and compiles on the calling thread and the pool's.
    ///
    /// # Errors
    /// Where the bytes are no component that the engine takes, or one that is over a
    /// bound from the start.
    pub(crate) fn compile(&self, bytes: &[u8], native: NativeCode) -> Result<Compiled, LoadError> {
        self.check(bytes, native)?;
        self.threads.install(|| self.job().run(bytes, native))
    }

    /// Checks and compiles without holding up the caller's thread.
    ///
    /// # Errors
    /// Where the bytes are no component that the engine takes, or one that is over a
    /// bound from the start.
    ///
    /// # Cancel safety
    /// Dropped, it lets a compile that has begun go on, for nothing.
    pub(crate) async fn compile_aside(
        &self,
        bytes: Bytes,
        native: NativeCode,
    ) -> Result<Compiled, LoadError> {
        self.check(&bytes, native)?;
        tracing::debug!(bytes = bytes.len(), "compiling");
        let job = self.job();
        let (sender, receiver) = oneshot::channel();
        self.threads.spawn(move || {
            // The caller may be gone by now.
            let _ = sender.send(job.run(&bytes, native));
        });
        let ended = receiver.await;
        ended.unwrap_or_else(|_| Err(LoadError::Compile("the compiler is gone".to_owned())))
    }

    fn job(&self) -> Job {
        Job {
            engine: self.engine.clone(),
            settings: self.settings,
            cache: self.cache.clone(),
        }
    }

    /// Makes one instance of a component, on a thread of the pool.
    ///
    /// # Errors
    /// Where none can be made.
    pub(crate) fn try_instance(&self, linked: &LinkedComponent) -> Result<(), LoadError> {
        self.threads.install(|| self.trial.run(&linked.pre))
    }

    /// Makes one instance of a component without holding up the caller's thread.
    ///
    /// # Errors
    /// Where none can be made.
    ///
    /// # Cancel safety
    /// Dropped, it lets an instance that starts go on, for nothing.
    pub(crate) async fn try_instance_aside(
        &self,
        linked: &LinkedComponent,
    ) -> Result<(), LoadError> {
        let (trial, pre) = (Arc::clone(&self.trial), linked.pre.clone());
        let (sender, receiver) = oneshot::channel();
        self.threads.spawn(move || {
            // The caller may be gone by now.
            let _ = sender.send(trial.run(&pre));
        });
        let ended = receiver.await;
        ended.unwrap_or_else(|_| Err(LoadError::Instantiate("its thread is gone".to_owned())))
    }

    /// Checks imports and exports, and links.
    ///
    /// # Errors
    /// Where the component imports what is not there, exports no handler, or takes
    /// more room than there is.
    pub(crate) fn link(&self, compiled: Compiled) -> Result<LinkedComponent, LoadError> {
        let pre = self
            .linker
            .instantiate_pre(&compiled.component)
            .map_err(|error| {
                MissingImports::of(&self.linker, &compiled.component).refusal(&error)
            })?;
        let pre = ProxyPre::new(pre).map_err(|error| LoadError::Exports(text(&error)))?;
        let stack = compiled.identity.claims.stack_bytes;
        if stack as usize > MAX_KEEP_RESIDENT {
            tracing::info!(
                version = &*compiled.identity.version,
                "the component has a stack of {} KiB: linked with -z stack-size=65536 it serves \
                 more requests/s, as all of its memory can be reset without a page fault",
                stack / 1024
            );
        }
        let (places, max_instances) = (places(&compiled.component), self.max_instances);
        if places > max_instances {
            return Err(LoadError::TooManyParts {
                places,
                max_instances,
            });
        }
        Ok(LinkedComponent {
            pre,
            identity: compiled.identity,
            imports: imports(&compiled.component, self.settings.grants_calls),
            inspection: Arc::new(compiled.inspection),
            places,
            scheduler: Arc::clone(&self.scheduler),
        })
    }
}

/// The engine's error about a component, with its sources.
fn text(error: &wasmtime::Error) -> String {
    load_error::text(format_args!("{error:#}"))
}

/// What it takes to compile, on any thread.
struct Job {
    engine: Engine,
    settings: Settings,
    cache: Option<Arc<CompileCache>>,
}

impl Job {
    /// Compiles a component, or loads what was compiled before.
    fn run(&self, bytes: &[u8], native: NativeCode) -> Result<Compiled, LoadError> {
        // A panic of the compiler must not end the server.
        let compiled = catch_unwind(AssertUnwindSafe(|| match (is_compiled(bytes), native) {
            (false, _) => self.compile(bytes),
            (true, NativeCode::Trusted) => self.load(&CompiledFile::read(bytes)?),
            (true, NativeCode::Refused) => Err(LoadError::CompiledUpload),
        }));
        compiled
            .unwrap_or_else(|_| Err(LoadError::Compile("the compiler panicked on it".to_owned())))
    }

    fn compile(&self, bytes: &[u8]) -> Result<Compiled, LoadError> {
        check_limits(bytes, self.settings.bounds)?;
        let component = match &self.cache {
            Some(cache) => cache.checked(|| self.component(bytes)),
            None => self.component(bytes),
        };
        let component = component.map_err(|error| refusal(bytes, text(&error)))?;
        Ok(Compiled::new(component, bytes))
    }

    fn load(&self, file: &CompiledFile<'_>) -> Result<Compiled, LoadError> {
        check_kind(file.component, self.settings.max_bytes)?;
        check_limits(file.component, self.settings.bounds)?;
        file.check_target()?;
        let has_settings = file.header.direct_imports == self.settings.direct_imports;
        if !has_settings {
            let why = match self.settings.direct_imports {
                true => "it has --no-direct-imports, and this server has not",
                false => "this server has --no-direct-imports, and it has not",
            };
            return Err(file.elsewhere(why.to_owned()));
        }
        let component = native_code::load(&self.engine, file);
        let component = component.map_err(|error| file.elsewhere(text(&error)))?;
        tracing::debug!(by = file.header.compiled_by(), "loaded compiled code");
        Ok(Compiled::new(component, file.component))
    }

    fn component(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        match self.settings.direct_imports {
            true => component(&self.engine, bytes),
            false => Component::from_binary(&self.engine, bytes),
        }
    }
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
        // A refusal is about the component as it was sent.
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
        let text = include_str!("../../../relink/src/greeter.wat")
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
