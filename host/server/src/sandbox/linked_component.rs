//! A compiled and linked component: what calls are made from.
//!
//! Knows neither where the component came from nor whether it is served.

use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::sandbox::engine::TABLES_PER_SLOT;
use crate::sandbox::imports::Import;
use crate::sandbox::inspection::Inspection;
use crate::sandbox::metadata::Identity;
use crate::sandbox::scheduler::FairScheduler;
use crate::sandbox::store::State;

/// A component that could be served.
#[derive(Clone)]
pub(crate) struct LinkedComponent {
    pub(crate) pre: ProxyPre<State>,
    pub(crate) identity: Identity,
    /// The interfaces that it imports.
    pub(crate) imports: Arc<[Import]>,
    /// What it states about itself and asks for, to be compared with another component.
    pub(crate) inspection: Arc<Inspection>,
    /// The places that an instance takes.
    pub(crate) places: u32,
    /// Its guests take turns by this.
    pub(crate) scheduler: Arc<FairScheduler>,
}

/// The places that an instance takes: a slot of the pool has one memory, and some
/// tables. Components that were joined have a memory each.
pub(crate) fn places(component: &Component) -> u32 {
    // None is one that imports modules, and no host has any.
    component.resources_required().map_or(1, |required| {
        let by_tables = required.num_tables.div_ceil(TABLES_PER_SLOT);
        required.num_memories.max(by_tables).max(1)
    })
}
