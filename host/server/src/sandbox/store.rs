//! The `T` of `Store<T>`: everything that one request's guest can reach.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliCtx, WasiCliCtxView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi::p2::bindings::{cli, clocks};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::body::HyperIncomingBody;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wasmtime_wasi_io::bindings::wasi::io;

use crate::guest_api::{self, GuestTelemetry, GuestTelemetryView, Stream};
use crate::request::expect_continue::Leave;
use crate::request::framing::Asked;
use crate::sandbox::fanlight_http::request_body;
use crate::sandbox::fanlight_http::response;
use crate::sandbox::handle_memory;
use crate::sandbox::memory_limit::{MemoryBounds, MemoryLimit};
use crate::sandbox::outgoing::Outbound;
use crate::sandbox::scheduler::Ticks;
use crate::sandbox::wasi_overrides::http_types;
use crate::sandbox::wasi_overrides::streams;

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
    outbound: Outbound,
    table: ResourceTable,
    pub(crate) telemetry: GuestTelemetry,
    pub(crate) memory: MemoryLimit,
    pub(crate) ticks: Ticks,
    /// What an answer's length depends on.
    pub(crate) asked: Asked,
    /// The request's body, until the guest takes it.
    pub(crate) request_body: Option<HyperIncomingBody>,
    /// Whether the client waits until the guest takes it.
    pub(crate) leave: Leave,
}

impl State {
    pub(crate) fn new(telemetry: GuestTelemetry, ticks: Ticks, bounds: MemoryBounds) -> Self {
        let usage = Arc::clone(telemetry.server_span().usage());
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
            asked: Asked::default(),
            request_body: None,
            leave: Leave::default(),
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
    lighten(linker)?;
    streams::replace_in_linker(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    http_types::replace_in_linker(linker)?;
    request_body::add_to_linker(linker)?;
    response::add_to_linker(linker)?;
    guest_api::add_to_linker(linker, State::telemetry_view)
}

/// Has what nearly all guests ask for answered without a [`WasiCtx`]: to make
/// one seeds random generators and takes a microsecond or two. The stock ways to
/// streams lead through it though they need the table alone.
fn lighten(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    io::error::add_to_linker::<State, Table>(linker, State::table)?;
    io::poll::add_to_linker::<State, Table>(linker, State::table)?;
    io::streams::add_to_linker::<State, Table>(linker, State::table)?;
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::bare)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::bare)?;
    cli::stdin::add_to_linker::<State, WasiCli>(linker, State::bare)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::bare)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::bare)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::bare)?;
    linker
        .instance("wasi:cli/stdout@0.2.12")?
        .func_wrap("get-stdout", |store, (): ()| printed(store, Stream::Stdout))?;
    linker
        .instance("wasi:cli/stderr@0.2.12")?
        .func_wrap("get-stderr", |store, (): ()| printed(store, Stream::Stderr))?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Marks the table in the linker.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// A stream for what the guest prints.
fn printed(
    mut store: StoreContextMut<'_, State>,
    stream: Stream,
) -> wasmtime::Result<(Resource<DynOutputStream>,)> {
    let state = store.data_mut();
    let stream: DynOutputStream = Box::new(state.telemetry.stdio(stream));
    Ok((state.table.push(stream)?,))
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

    /// What the guest's handles stand for.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    fn bare(&mut self) -> WasiCliCtxView<'_> {
        WasiCliCtxView {
            ctx: &mut self.bare,
            table: &mut self.table,
        }
    }

    fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView {
            ctx: self.clocks.get_or_insert_default(),
            table: &mut self.table,
        }
    }

    fn telemetry_view(&mut self) -> GuestTelemetryView<'_> {
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
