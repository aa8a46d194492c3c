//! The `T` of `Store<T>`: everything that one request's guest can reach.

use wasmtime::ResourceLimiter;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::imports::{self, GuestTelemetry, GuestTelemetryView, Stream};
use crate::outbound::Outbound;

/// One request's view of the host.
pub(crate) struct State {
    /// Made when the guest first asks for anything of WASI: few do.
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    outbound: Outbound,
    table: ResourceTable,
    pub(crate) telemetry: GuestTelemetry,
    pub(crate) memory: MemoryLimit,
}

impl State {
    pub(crate) fn new(telemetry: GuestTelemetry, max_memory_bytes: usize) -> Self {
        Self {
            wasi: None,
            http: WasiHttpCtx::new(),
            outbound: Outbound,
            table: ResourceTable::new(),
            telemetry,
            memory: MemoryLimit {
                max_bytes: max_memory_bytes,
                reached: false,
            },
        }
    }
}

/// Adds all that a guest may import.
///
/// # Errors
/// Where two interfaces have the same name.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    // The whole of WASI 0.2: guests in Python or JavaScript import it all.
    // The context grants none of it: no file, no variable, no address.
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    imports::add_to_linker(linker, State::telemetry_view)
}

impl State {
    fn telemetry_view(&mut self) -> GuestTelemetryView<'_> {
        GuestTelemetryView {
            telemetry: &mut self.telemetry,
            table: &mut self.table,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let telemetry = &self.telemetry;
        let ctx = self.wasi.get_or_insert_with(|| {
            WasiCtx::builder()
                .stdout(telemetry.stdio(Stream::Stdout))
                .stderr(telemetry.stdio(Stream::Stderr))
                .allow_tcp(false)
                .allow_udp(false)
                .build()
        });
        WasiCtxView {
            ctx,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outbound,
        }
    }
}

/// Bounds the guest's linear memory, and remembers that the bound was reached.
pub(crate) struct MemoryLimit {
    max_bytes: usize,
    pub(crate) reached: bool,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.max_bytes;
        self.reached |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The pool's own bound on elements holds.
        Ok(true)
    }
}
