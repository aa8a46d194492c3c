//! What can be refused of a file without compiling it, and why the engine refuses one.

use wasmparser::{Parser, Payload};

use crate::config::MemoryBounds;
use crate::sandbox::engine::MAX_PER_MODULE;
use crate::sandbox::inspection::footprint::first_bytes;
use crate::sandbox::load_error::{self, LoadError};
use crate::sandbox::wasm_features::{self, Validity};

/// Refuses what can be seen to be no component without reading it.
///
/// # Errors
/// Where the bytes are too many, no WebAssembly, or a core module.
pub(crate) fn check_kind(bytes: &[u8], max_bytes: usize) -> Result<(), LoadError> {
    if bytes.len() > max_bytes {
        return Err(LoadError::TooLarge { max_bytes });
    }
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
    Ok(())
}

/// Refuses modules that are over a bound from the start. What is behind a fault is not
/// read: the engine tells of the fault.
pub(crate) fn check_limits(bytes: &[u8], bounds: MemoryBounds) -> Result<(), LoadError> {
    let (max_bytes, max_elements) = (bounds.memory_bytes as u64, bounds.table_elements as u64);
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::MemorySection(memories) => {
                if memories.count() > MAX_PER_MODULE {
                    return Err(LoadError::TooManyMemories {
                        memories: memories.count(),
                        max_memories: MAX_PER_MODULE,
                    });
                }
                let bytes = memories
                    .into_iter()
                    .map_while(Result::ok)
                    .map(|it| first_bytes(&it));
                let bytes = bytes.max().unwrap_or(0);
                if bytes > max_bytes {
                    return Err(LoadError::TooMuchMemory { bytes, max_bytes });
                }
            }
            Payload::TableSection(tables) => {
                if tables.count() > MAX_PER_MODULE {
                    return Err(LoadError::TooManyTables {
                        tables: tables.count(),
                        max_tables: MAX_PER_MODULE,
                    });
                }
                let tables = tables.into_iter().map_while(Result::ok);
                let elements = tables.map(|table| table.ty.initial).max().unwrap_or(0);
                if elements > max_elements {
                    return Err(LoadError::TooManyTableElements {
                        elements,
                        max_elements,
                    });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Why the engine does not take a file: it has one error for all reasons, which differ
/// in what can be done about them.
pub(crate) fn refusal(bytes: &[u8], reason: String) -> LoadError {
    match wasm_features::validity(bytes) {
        Validity::Needs(features) => LoadError::UnsupportedFeatures(features),
        Validity::Invalid(wrong) => match invalid(wrong) {
            LoadError::NotAComponent(_) => LoadError::NotAComponent(reason),
            limit => limit,
        },
        // The pool's words for it, whose first line tells the bytes.
        Validity::Valid if reason.contains(INSTANCE_TOO_LARGE) => {
            let (_, why) = reason.split_once(INSTANCE_TOO_LARGE).unwrap_or_default();
            let why = why.split(';').next().unwrap_or_default();
            LoadError::InstanceTooLarge(format!("this{why}"))
        }
        Validity::Valid if is_limit(&reason) => LoadError::EngineLimit(reason),
        Validity::Valid => LoadError::Compile(reason),
    }
}

/// Why a file is refused that is no component by any proposal.
pub(crate) fn invalid(wrong: String) -> LoadError {
    match is_limit(&wrong) {
        true => LoadError::EngineLimit(load_error::text(wrong)),
        false => LoadError::NotAComponent(load_error::text(wrong)),
    }
}

/// How the pool begins to tell of an instance that is too large.
const INSTANCE_TOO_LARGE: &str = "instance allocation for this";

/// Whether what parser, compiler or pool say is about a bound of theirs.
fn is_limit(reason: &str) -> bool {
    let words = [
        "limit of",
        "mplementation limit",
        "exceed",
        "too many locals",
        "number of elements is out of bounds",
        "size is out of bounds",
        "string size out of bounds",
        "Code for function is too large",
    ];
    words.iter().any(|word| reason.contains(word))
}
