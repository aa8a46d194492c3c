//! Why a file is not served. One variant for each reason that a user can do
//! something about; the reason's text is for people, its word for machines.

use std::fmt;
use std::path::PathBuf;

use bytesize::ByteSize;

use crate::printable::one_line;

/// The longest text of an error that names what a component has, in bytes.
const MAX_TEXT: usize = 4 * 1024;

/// The text of an error that may name what a component has: its imports, exports and
/// functions are called as it likes. It stands in logs, answers and terminals.
pub(crate) fn text(error: impl fmt::Display) -> String {
    one_line(error, MAX_TEXT)
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
    /// The file is larger than is taken.
    #[error("it is larger than {} (--max-component)", ByteSize(*max_bytes as u64).display().iec())]
    TooLarge {
        /// The largest that is taken.
        max_bytes: usize,
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
    /// A memory of the component is larger from the start than an instance's may be.
    #[error(
        "its memory has {} from the start, and an instance may have {} (--max-memory)",
        ByteSize(*bytes).display().iec(),
        ByteSize(*max_bytes).display().iec()
    )]
    TooMuchMemory {
        /// What it has.
        bytes: u64,
        /// The most that it may have.
        max_bytes: u64,
    },
    /// One instance of the component takes more room than there is.
    #[error(
        "one instance of it takes the room of {places}, and there are {max_instances} (--max-instances)"
    )]
    TooManyParts {
        /// The places that an instance takes.
        places: u32,
        /// All that there are.
        max_instances: u32,
    },
    /// The component did not answer the probe as it should.
    #[error("the probe {path} failed: {why}")]
    Probe {
        /// What was asked for.
        path: String,
        /// What came instead.
        why: String,
    },
}

impl LoadError {
    /// The value of `error.type`: a fixed word, never a formatted error.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::TooLarge { .. } => "too_large",
            Self::CoreModule => "core_module",
            Self::NotAComponent(_) => "not_a_component",
            Self::Imports(_) => "imports",
            Self::Exports(_) => "exports",
            Self::TooMuchMemory { .. } => "too_much_memory",
            Self::TooManyParts { .. } => "too_many_parts",
            Self::Probe { .. } => "probe",
        }
    }

    /// The reason with its sources, in one line.
    pub fn reason(&self) -> String {
        match self {
            Self::Read { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}
