//! The component that is served, ready to be instantiated.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use opentelemetry::StringValue;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::engine::{EngineConfig, TickingEngine};
use crate::state::{self, State};

/// A component, compiled, checked and linked.
pub struct LoadedComponent {
    pre: ProxyPre<State>,
    digest: Arc<str>,
    version: Arc<str>,
    generation: u64,
}

/// Why a file is not served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is a core module: only components say what they import.
    #[error(
        "this is a core WebAssembly module, not a component: build it for wasm32-wasip2, or wrap \
         it by `wasm-tools component new`"
    )]
    CoreModule,
    /// The file is no WebAssembly, or none that the engine takes.
    #[error("this is not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// The component imports what the host has not.
    #[error("the component imports what is not there: {0}")]
    Imports(String),
    /// The component does not answer HTTP requests.
    #[error("the component does not export wasi:http/incoming-handler@0.2: {0}")]
    Exports(String),
}

impl LoadedComponent {
    /// The digest of the file, `sha256:` and hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The version: the first 12 digits of the digest.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many components this process had when this one came, with it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The digest as a shared value: each request's span carries it.
    pub(crate) fn digest_value(&self) -> StringValue {
        Arc::clone(&self.digest).into()
    }

    /// The version as a shared value.
    pub(crate) fn version_value(&self) -> StringValue {
        Arc::clone(&self.version).into()
    }

    pub(crate) fn pre(&self) -> &ProxyPre<State> {
        &self.pre
    }
}

/// Holds the component that new requests get.
///
/// A request keeps what it was given: whatever the slot holds later, it ends on
/// the component that it began with.
pub struct ComponentSlot {
    current: ArcSwap<LoadedComponent>,
    /// Ends with the slot: instances in flight hold the engine itself.
    _engine: TickingEngine,
}

impl ComponentSlot {
    /// Makes an engine and loads the first component. Compiling takes up to
    /// seconds and stays on the calling thread.
    ///
    /// # Errors
    /// Where the engine cannot be made or the file cannot be served; a
    /// [`LoadError`] says which.
    pub fn load(path: &Path, config: &EngineConfig) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        let engine = TickingEngine::new(config)?;
        let component = compile(engine.engine(), &bytes, 1)?;
        Ok(Self {
            current: ArcSwap::from_pointee(component),
            _engine: engine,
        })
    }

    /// The component for a request that begins now.
    pub fn current(&self) -> Arc<LoadedComponent> {
        self.current.load_full()
    }
}

fn compile(engine: &Engine, bytes: &[u8], generation: u64) -> Result<LoadedComponent, LoadError> {
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
    let component = Component::from_binary(engine, bytes)
        .map_err(|error| LoadError::NotAComponent(format!("{error:#}")))?;
    let mut linker = Linker::<State>::new(engine);
    let pre = state::add_to_linker(&mut linker)
        .and_then(|()| linker.instantiate_pre(&component))
        .map_err(|error| LoadError::Imports(format!("{error:#}")))?;
    let pre = ProxyPre::new(pre).map_err(|error| LoadError::Exports(format!("{error:#}")))?;
    let digest = Sha256::digest(bytes);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(LoadedComponent {
        pre,
        version: digits[..12].into(),
        digest: format!("sha256:{digits}").into(),
        generation,
    })
}
