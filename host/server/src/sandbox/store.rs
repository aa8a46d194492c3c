//! The `T` of `Store<T>`: everything that one request's guest can reach.

use std::sync::Arc;

use http::HeaderMap;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{WasiCliCtx, WasiCliCtxView};
use wasmtime_wasi::clocks::{WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::body::HyperIncomingBody;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::config::MemoryBounds;
use crate::guest_api::{GuestTelemetry, GuestTelemetryView};
use crate::outbound::OutboundClient;
use crate::request::expect_continue::ExpectContinue;
use crate::sandbox::handle_memory;
use crate::sandbox::memory_limit::MemoryLimit;
use crate::sandbox::outgoing::Outbound;
use crate::sandbox::scheduler::TickCounter;

/// The most random bytes in one call: they are made one by one, and the thread
/// does nothing else meanwhile. A mebibyte takes some milliseconds.
const MAX_RANDOM_BYTES: u64 = 1024 * 1024;

/// Handles that a guest has at once, as a rule: the table is not grown for them.
const USUAL_HANDLES: usize = 16;

/// One request's view of the host.
pub(crate) struct State {
    /// Made when the guest first asks for what only this has: few do.
    wasi: Option<Box<WasiCtx>>,
    /// No argument, no variable, no terminal. Most guests ask for these as they
    /// start, and nothing has to be made to say so.
    bare: WasiCliCtx,
    /// Made when the guest first asks for the time.
    clocks: Option<WasiClocksCtx>,
    http: WasiHttpCtx,
    /// Before `table`: it records that the guest is gone, and then its bodies go.
    outbound: Outbound,
    table: ResourceTable,
    pub(crate) telemetry: GuestTelemetry,
    pub(crate) memory: MemoryLimit,
    pub(crate) ticks: TickCounter,
    /// The request's body, until the guest takes it.
    pub(crate) request_body: Option<HyperIncomingBody>,
    /// Whether the client waits until the guest takes it.
    pub(crate) expect_continue: ExpectContinue,
}

impl State {
    pub(crate) fn new(telemetry: GuestTelemetry, ticks: TickCounter, bounds: MemoryBounds) -> Self {
        let usage = Arc::clone(telemetry.request().usage());
        Self {
            wasi: None,
            bare: WasiCliCtx::default(),
            clocks: None,
            http: WasiHttpCtx::new(),
            outbound: Outbound::new(telemetry.onward()),
            table: ResourceTable::with_capacity(USUAL_HANDLES),
            telemetry,
            memory: MemoryLimit::new(bounds, usage),
            ticks,
            request_body: None,
            expect_continue: ExpectContinue::default(),
        }
    }
}

impl State {
    /// Checks that what the guest's handles hold of the host's memory is within
    /// its bound.
    ///
    /// # Errors
    /// Where it is not: the guest traps.
    pub(crate) fn check_holdings(&mut self) -> wasmtime::Result<()> {
        handle_memory::check(&mut self.table)
    }

    /// Lets the guest call other services by `client`, on behalf of a request with
    /// these headers.
    pub(crate) fn allow_calls(&mut self, client: &Arc<OutboundClient>, headers: &HeaderMap) {
        self.outbound.allow(client, headers);
    }

    /// What the guest's handles stand for.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub(crate) fn bare(&mut self) -> WasiCliCtxView<'_> {
        WasiCliCtxView {
            ctx: &mut self.bare,
            table: &mut self.table,
        }
    }

    pub(crate) fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView {
            ctx: self.clocks.get_or_insert_default(),
            table: &mut self.table,
        }
    }

    pub(crate) fn telemetry_view(&mut self) -> GuestTelemetryView<'_> {
        GuestTelemetryView {
            telemetry: &mut self.telemetry,
            table: &mut self.table,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| {
            let context = WasiCtx::builder()
                .allow_tcp(false)
                .allow_udp(false)
                .max_random_size(MAX_RANDOM_BYTES)
                .build();
            Box::new(context)
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
