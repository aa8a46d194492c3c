//! What a guest may import: the whole of WASI 0.2, of which it is granted little,
//! and the host's own interfaces.

use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::WasiCli;
use wasmtime_wasi::clocks::WasiClocks;
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi::p2::bindings::{cli, clocks};
use wasmtime_wasi_io::bindings::wasi::io;

use crate::guest_api::{self, Stream};
use crate::sandbox::fanlight_http::{request_body, response};
use crate::sandbox::store::State;
use crate::sandbox::wasi_overrides::{http_types, streams};

/// Adds all that a guest may import.
///
/// # Errors
/// Where two interfaces have the same name.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    // The whole of WASI 0.2: guests in Python or JavaScript import it all.
    // The context grants none of it: no file, no variable, no address.
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    override_common_wasi(linker)?;
    streams::replace_in_linker(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    http_types::replace_in_linker(linker)?;
    request_body::add_to_linker(linker)?;
    response::add_to_linker(linker)?;
    guest_api::add_to_linker(linker, State::telemetry_view)
}

/// Has what nearly all guests ask for answered without a `WasiCtx`: to make
/// one seeds random generators and takes a microsecond or two. The stock ways to
/// streams lead through it though they need the table alone.
fn override_common_wasi(linker: &mut Linker<State>) -> wasmtime::Result<()> {
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
    Ok((state.table().push(stream)?,))
}
