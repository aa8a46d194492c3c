//! The engine: how components are compiled, where their instances live, and
//! the clock by which a guest that computes is interrupted.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::config::MemoryBounds;
use crate::sandbox::compile_cache::CompileCache;
use crate::sandbox::epoch_ticker::EpochTicker;
use crate::sandbox::scheduler::FairScheduler;
use crate::sandbox::wasm_features;
use fanlight_telemetry::TelemetryError;

/// Memory that idle slots may keep between them, so that the next instance
/// finds its pages there.
const IDLE_BUDGET: usize = 1024 * 1024 * 1024;
/// The most that one slot may keep. All of it is cleared after each instance, so
/// more costs small guests more than it saves large ones.
pub(crate) const MAX_KEEP_RESIDENT: usize = 128 * 1024;
/// Slots for what is no request: the probe of a component before it is served, of
/// up to as many parts.
const PROBE_SLOTS: u32 = 4;
/// Tables for each slot: a component's own, and that of the shims or of the
/// allocator by which its imports are linked.
pub(crate) const TABLES_PER_SLOT: u32 = 2;
/// The most memories or tables of one module. How many it has is for the places
/// that an instance of it takes.
pub(crate) const MAX_PER_MODULE: u32 = 16;
/// Mappings that a slot takes by the stack pool: the stack and its guard.
const MAPPINGS_PER_SLOT: u64 = 2;
/// Mappings left to everything else in the process.
const MAPPINGS_RESERVED: u64 = 8_192;

/// What the engine is made for.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Instances that live at once; each has a slot of its own.
    pub max_instances: NonZeroU32,
    /// The most bytes of one guest's linear memory.
    pub max_memory_bytes: usize,
    /// The most elements of one table of a guest.
    pub max_table_elements: usize,
    /// The largest file of a component that is taken.
    pub max_component_bytes: usize,
    /// Whether a component's imports are linked directly, where that can be.
    pub direct_imports: bool,
    /// Whether components may call other services: what their imports are shown as.
    pub grants_calls: bool,
    /// Where compiled code is kept between runs; none: nowhere.
    pub cache_dir: Option<PathBuf>,
}

impl EngineConfig {
    /// The bounds on memories and tables.
    pub(crate) fn memory_bounds(&self) -> MemoryBounds {
        MemoryBounds {
            memory_bytes: self.max_memory_bytes,
            table_elements: self.max_table_elements,
        }
    }
}

/// The engine and the thread that ticks for it.
pub(crate) struct TickingEngine {
    engine: Engine,
    cache: Option<Arc<CompileCache>>,
    scheduler: Arc<FairScheduler>,
    _ticker: EpochTicker,
}

/// Why there is no engine to serve components with.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The kernel's map count cannot hold as many instances.
    #[error(
        "--max-instances {instances} needs {needed} memory mappings and vm.max_map_count allows \
         {limit}: ask for fewer, or raise it by sysctl -w vm.max_map_count={needed}"
    )]
    MapCount {
        /// The instances that the configuration asks for.
        instances: NonZeroU32,
        /// The mappings that those need.
        needed: u64,
        /// The mappings that a process may have.
        limit: u64,
    },
    /// The engine does not take its configuration or the host's imports.
    #[error("{0}")]
    Engine(String),
    /// The thread that interrupts guests cannot be started.
    #[error(transparent)]
    Ticker(std::io::Error),
    /// The threads that compile cannot be started.
    #[error(transparent)]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The telemetry of instances that are made on trial cannot be started.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
}

impl EngineError {
    /// Keeps the text: `wasmtime::Error` is no `std` error.
    pub(crate) fn of_wasmtime(error: &wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}

impl TickingEngine {
    /// Reserves the pool, or says that instances are allocated on demand.
    ///
    /// # Errors
    /// Where the kernel's map count cannot hold as many instances, or the
    /// engine takes no such configuration.
    pub(crate) fn new(config: &EngineConfig) -> Result<Self, EngineError> {
        check_map_count(config.max_instances)?;
        let cache = config.cache_dir.clone().and_then(CompileCache::open);
        let configured = |pooled| {
            let mut engine = engine_config(config, pooled);
            wasm_features::configure(&mut engine);
            engine.cache(cache.as_ref().map(CompileCache::cache));
            engine
        };
        let engine = match Engine::new(&configured(true)) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the instance pool cannot be reserved; instances are allocated on demand, \
                     which is slower (a smaller --max-instances needs less address space)"
                );
                let mut on_demand = configured(false);
                // By default each memory takes 4 GiB of addresses, which are what is
                // short here.
                on_demand
                    .memory_reservation(config.max_memory_bytes as u64)
                    .memory_reservation_for_growth(0);
                Engine::new(&on_demand).map_err(|error| EngineError::of_wasmtime(&error))?
            }
        };
        Self::ticking(engine, cache)
    }

    /// Makes one for compiling alone, which reserves no pool.
    ///
    /// # Errors
    /// Where the engine takes no such configuration.
    pub(crate) fn for_compiling(config: &EngineConfig) -> Result<Self, EngineError> {
        Self::ticking(compile_engine(config)?, None)
    }

    fn ticking(engine: Engine, cache: Option<CompileCache>) -> Result<Self, EngineError> {
        let ticked = engine.clone();
        let ticker =
            EpochTicker::start(move || ticked.increment_epoch()).map_err(EngineError::Ticker)?;
        Ok(Self {
            engine,
            cache: cache.map(Arc::new),
            scheduler: Arc::new(FairScheduler::new(Arc::clone(ticker.guests()))),
            _ticker: ticker,
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where its compiled code is kept, if anywhere.
    pub(crate) fn cache(&self) -> Option<&Arc<CompileCache>> {
        self.cache.as_ref()
    }

    /// The turns of guests that compute for long, on this engine.
    pub(crate) fn scheduler(&self) -> &Arc<FairScheduler> {
        &self.scheduler
    }
}

/// An engine for code that does not run in this process: it has no pool, so it needs no
/// addresses, and compiles the same code as one that has.
///
/// # Errors
/// Where the engine takes no such configuration.
pub(crate) fn compile_engine(config: &EngineConfig) -> Result<Engine, EngineError> {
    let mut engine = engine_config(config, false);
    wasm_features::configure(&mut engine);
    Engine::new(&engine).map_err(|error| EngineError::of_wasmtime(&error))
}

fn engine_config(config: &EngineConfig, pooled: bool) -> Config {
    let mut engine = Config::new();
    engine
        .epoch_interruption(true)
        // WASI 0.2 needs none of it, and an engine with it is a tenth slower.
        .concurrency_support(false)
        .wasm_component_model_async(false)
        // Names alone: debug information is the component's own, and to read it takes
        // as long as the component likes.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    if pooled {
        let slots = config.max_instances.get().saturating_add(PROBE_SLOTS);
        let keep_resident = (IDLE_BUDGET / slots as usize).min(MAX_KEEP_RESIDENT);
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(slots)
            .total_memories(slots)
            .total_stacks(slots)
            .total_tables(slots.saturating_mul(TABLES_PER_SLOT))
            .max_memories_per_module(MAX_PER_MODULE)
            .max_tables_per_module(MAX_PER_MODULE)
            // They have no slots: how many there are follows from the component.
            .total_core_instances(u32::MAX)
            .max_memory_size(config.max_memory_bytes)
            .linear_memory_keep_resident(keep_resident)
            .table_elements(config.max_table_elements)
            .table_keep_resident(keep_resident.min(64 * 1024))
            // Never on: this engine's scan for dirty pages passes over those that are
            // swapped out or under migration, and leaves them to the next instance.
            .pagemap_scan(Enabled::No);
        engine.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    engine
}

/// Refuses a pool that would run into `vm.max_map_count` while it serves.
fn check_map_count(instances: NonZeroU32) -> Result<(), EngineError> {
    // Where there is no such file there is no such limit.
    let Ok(text) = std::fs::read_to_string("/proc/sys/vm/max_map_count") else {
        return Ok(());
    };
    let Ok(limit) = text.trim().parse::<u64>() else {
        return Ok(());
    };
    let needed = u64::from(instances.get()) * MAPPINGS_PER_SLOT + MAPPINGS_RESERVED;
    if needed > limit {
        return Err(EngineError::MapCount {
            instances,
            needed,
            limit,
        });
    }
    Ok(())
}
