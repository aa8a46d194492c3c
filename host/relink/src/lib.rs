//! Links a component's imports directly.
//!
//! A lowered import needs the memory and the allocator of the module that calls
//! it. Both come of that module's instance, which needs the lowered import to be
//! made. `wit-component` resolves this by a table: a module of _shims_, which call
//! what is in the table, is instantiated first and given to the main module; then
//! the imports are lowered, and a third module, the _fixup_, puts them into the
//! table. So for each instance of the component each import is made, looked up and
//! copied three times, and each call goes through the table.
//!
//! Here the memory and its data become a module of their own. It is instantiated
//! first, then the imports are lowered, and the main module takes them as they
//! are. The allocator alone needs a table still, of one entry. Neither the code of
//! the main module nor its offsets nor the indices of its functions change, so
//! backtraces tell the same (but for the offsets of one that lies in another
//! component); its code finds the memory by one more load, which the compiler keeps
//! out of loops. What is put together otherwise stays as it is: by an adapter of
//! preview 1, or with a fixup that does more than to fill the table.
//!
//! All this is before the engine has validated anything: what is read is bounded.

mod definitions;
mod indirection;
mod main_module;
mod memory;
mod output;
mod relinking;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

use crate::definitions::{Definitions, Section};
use crate::indirection::Indirection;
use crate::main_module::MainModule;
use crate::output::Output;
use crate::relinking::Relinking;

/// How deep in others a component may lie to be looked at.
const MAX_DEPTH: u32 = 4;

/// Why a component stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(&'static str);

impl From<wasmparser::BinaryReaderError> for Unsupported {
    fn from(_: wasmparser::BinaryReaderError) -> Self {
        Self("it cannot be read")
    }
}

impl From<wasm_encoder::reencode::Error<Self>> for Unsupported {
    fn from(error: wasm_encoder::reencode::Error<Self>) -> Self {
        match error {
            wasm_encoder::reencode::Error::UserError(unsupported) => unsupported,
            _ => Self("it has what cannot be written"),
        }
    }
}

/// The component with its imports linked directly, and those of the components in
/// it. It is for the engine to validate.
///
/// # Errors
/// Where there is nothing to change, or it is put together otherwise than
/// `wit-component` does.
pub fn link_directly(component: &[u8]) -> Result<Vec<u8>, Unsupported> {
    link_at(component, 0)
}

fn link_at(component: &[u8], depth: u32) -> Result<Vec<u8>, Unsupported> {
    let inner = link_inner(component, depth)?;
    let own = link_own(inner.as_deref().unwrap_or(component));
    match (own, inner) {
        (Ok(linked), _) | (Err(_), Some(linked)) => Ok(linked),
        (Err(unsupported), None) => Err(unsupported),
    }
}

/// The component with the components in it linked, where any of them changes.
fn link_inner(component: &[u8], depth: u32) -> Result<Option<Vec<u8>>, Unsupported> {
    let definitions = Definitions::read(component)?;
    if !definitions.sections.iter().any(Section::is_component) {
        return Ok(None);
    }
    let mut output = Output::default();
    let mut is_changed = false;
    for section in &definitions.sections {
        let linked = match section.is_component() && depth < MAX_DEPTH {
            true => link_at(section.bytes, depth + 1).ok(),
            false => None,
        };
        is_changed |= linked.is_some();
        output.section(section.id, linked.as_deref().unwrap_or(section.bytes));
    }
    Ok(is_changed.then(|| output.finish()))
}

/// The component with its own imports linked.
fn link_own(component: &[u8]) -> Result<Vec<u8>, Unsupported> {
    let definitions = Definitions::read(component)?;
    let indirection = Indirection::find(&definitions)?;
    let main = MainModule::read(definitions.module(indirection.main.module)?)?;
    Relinking::new(&definitions, &indirection, &main).run()
}
