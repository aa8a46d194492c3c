//! The component that is served, and the slot that new requests take it from.
//!
//! A swap is one atomic store. A request keeps what it was given: whatever the
//! slot holds later, it ends on the component that it began with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use opentelemetry::StringValue;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::sandbox::compiled_file::NativeCode;
use crate::sandbox::compiler::Compiler;
use crate::sandbox::engine::{EngineConfig, EngineError, TickingEngine};
use crate::sandbox::imports::Import;
use crate::sandbox::inspection::Inspection;
use crate::sandbox::linked_component::LinkedComponent;
use crate::sandbox::load_error::LoadError;
use crate::sandbox::scheduler::FairScheduler;

/// A component, compiled, checked and linked, that is or was served.
pub struct LoadedComponent {
    linked: LinkedComponent,
    generation: u64,
    source: Source,
    loaded_at: SystemTime,
}

/// Where a component came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The admin port.
    Upload,
}

impl LoadedComponent {
    fn new(linked: LinkedComponent, generation: u64, source: Source) -> Self {
        Self {
            linked,
            generation,
            source,
            loaded_at: SystemTime::now(),
        }
    }

    /// The digest of the file, `sha256:` and hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.linked.identity.digest
    }

    /// The version: what the component's metadata says, or else the first 12
    /// digits of the digest.
    pub fn version(&self) -> &str {
        &self.linked.identity.version
    }

    /// What its own metadata calls it, if anything.
    pub fn claimed_name(&self) -> Option<&str> {
        self.linked.identity.claims.name.as_deref()
    }

    /// The version that its own metadata says, if any.
    pub fn claimed_version(&self) -> Option<&str> {
        self.linked.identity.claims.version.as_deref()
    }

    /// How many times this process began to serve a component, with this one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The size of the file, in bytes.
    pub fn size(&self) -> usize {
        self.linked.identity.bytes
    }

    /// Where it came from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// When it was loaded.
    pub fn loaded_at(&self) -> SystemTime {
        self.loaded_at
    }

    /// The digest as a shared value: each request's span carries it.
    pub(crate) fn digest_value(&self) -> StringValue {
        Arc::clone(&self.linked.identity.digest).into()
    }

    /// The version as a shared value.
    pub(crate) fn version_value(&self) -> StringValue {
        Arc::clone(&self.linked.identity.version).into()
    }

    /// The interfaces that it imports.
    pub(crate) fn imports(&self) -> &[Import] {
        &self.linked.imports
    }

    /// The names of the interfaces that it imports, and whether the host grants what each
    /// does. A call of one that is not granted fails.
    pub fn imported(&self) -> impl Iterator<Item = (&str, bool)> {
        let imports = self.linked.imports.iter();
        imports.map(|import| (&*import.name, import.is_granted))
    }

    /// What it states about itself and asks for.
    pub fn inspection(&self) -> &Inspection {
        &self.linked.inspection
    }

    pub(crate) fn scheduler(&self) -> &Arc<FairScheduler> {
        &self.linked.scheduler
    }

    /// The places that an instance of it takes.
    pub(crate) fn places(&self) -> u32 {
        self.linked.places
    }
}

impl AsRef<LinkedComponent> for LoadedComponent {
    fn as_ref(&self) -> &LinkedComponent {
        &self.linked
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Upload => f.write_str("upload"),
        }
    }
}

/// Holds the component that new requests get, and the one before it.
pub struct ComponentSlot {
    current: ArcSwap<LoadedComponent>,
    /// Swaps hold the lock, so that both change together.
    previous: Mutex<Option<Arc<LoadedComponent>>>,
    /// For requests that wait for as many places as the current one takes.
    places_changed: Notify,
    compiler: Compiler,
    /// Ends with the slot: instances in flight hold the engine itself.
    _engine: TickingEngine,
}

/// What the slot holds, at one moment.
pub(crate) struct SlotView {
    pub(crate) current: InUse,
    pub(crate) previous: Option<InUse>,
}

/// A component, and how many requests run on it.
pub(crate) struct InUse {
    pub(crate) component: Arc<LoadedComponent>,
    pub(crate) in_flight: usize,
}

impl InUse {
    /// Counts who holds the component beside the slot and this view: a request
    /// holds one reference from its beginning to its guest's end.
    fn of(component: Arc<LoadedComponent>) -> Self {
        Self {
            in_flight: Arc::strong_count(&component).saturating_sub(2),
            component,
        }
    }
}

/// Why there is no component to serve.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// There is no engine for it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The component cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl ComponentSlot {
    /// Makes an engine and loads the first component. Compiling takes up to
    /// seconds and holds the calling thread.
    ///
    /// # Errors
    /// Where the engine or one instance cannot be made, or the file cannot be
    /// served.
    pub fn load(path: &Path, config: &EngineConfig) -> Result<Self, SlotError> {
        let bytes = std::fs::read(path).map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        let engine = TickingEngine::new(config)?;
        let compiler = Compiler::new(&engine, config)?;
        let linked = compiler.link(compiler.compile(&bytes, NativeCode::Trusted)?)?;
        compiler.try_instance(&linked)?;
        let source = Source::File(path.to_owned());
        let component = LoadedComponent::new(linked, 1, source);
        Ok(Self {
            current: ArcSwap::from_pointee(component),
            previous: Mutex::default(),
            places_changed: Notify::new(),
            compiler,
            _engine: engine,
        })
    }

    /// The component for a request that begins now.
    pub fn current(&self) -> Arc<LoadedComponent> {
        self.current.load_full()
    }

    /// The places that an instance of the current component takes.
    pub(crate) fn places(&self) -> u32 {
        self.current.load().places()
    }

    /// Waits for a current component that takes more places or fewer, from this
    /// call on.
    pub(crate) fn places_changed(&self) -> Notified<'_> {
        self.places_changed.notified()
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    pub(crate) fn view(&self) -> SlotView {
        let previous = self.previous.lock();
        SlotView {
            current: InUse::of(self.current()),
            previous: previous.clone().map(InUse::of),
        }
    }

    /// Makes what would be served next. It is not served yet.
    pub(crate) fn candidate(
        &self,
        linked: LinkedComponent,
        source: Source,
    ) -> Arc<LoadedComponent> {
        let generation = self.current.load().generation + 1;
        Arc::new(LoadedComponent::new(linked, generation, source))
    }

    /// Serves a candidate from now on, and gives back what was served before.
    pub(crate) fn swap(&self, candidate: Arc<LoadedComponent>) -> Arc<LoadedComponent> {
        let mut previous = self.previous.lock();
        self.exchange(&mut previous, candidate)
    }

    /// Exchanges the component and the one before it, as a new generation.
    pub(crate) fn roll_back(&self) -> Option<Exchanged> {
        let mut previous = self.previous.lock();
        let wanted = previous.take()?;
        let now = self.candidate(wanted.linked.clone(), wanted.source.clone());
        let before = self.exchange(&mut previous, Arc::clone(&now));
        Some(Exchanged { before, now })
    }

    fn exchange(
        &self,
        previous: &mut Option<Arc<LoadedComponent>>,
        now: Arc<LoadedComponent>,
    ) -> Arc<LoadedComponent> {
        let places = now.places();
        let before = self.current.swap(now);
        *previous = Some(Arc::clone(&before));
        if places != before.places() {
            self.places_changed.notify_waiters();
        }
        before
    }
}

/// What a rollback ended and what it began.
pub(crate) struct Exchanged {
    pub(crate) before: Arc<LoadedComponent>,
    pub(crate) now: Arc<LoadedComponent>,
}
