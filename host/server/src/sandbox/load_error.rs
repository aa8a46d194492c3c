//! Why a file is not served. One variant for each reason that a user can do
//! something about; the reason's text is for people, its word for machines.

use std::fmt;
use std::path::PathBuf;

use bytesize::ByteSize;

use fanlight_telemetry::sanitize::one_line;

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
    /// The file is no component, whatever proposals of WebAssembly are taken.
    #[error("this is not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// The component needs proposals of WebAssembly that the host does not offer.
    #[error("it needs {}, which this host does not offer", listed(.0))]
    UnsupportedFeatures(Vec<String>),
    /// The component is over a bound of the engine that no flag raises.
    #[error("it is over a limit of the engine: {0}")]
    EngineLimit(String),
    /// The engine fails to compile a component that is valid.
    #[error("the engine cannot compile it: {0}")]
    Compile(String),
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
    /// A table of the component is larger from the start than an instance's may be.
    #[error(
        "a table of it has {elements} elements from the start, and a table may have \
         {max_elements} (--max-table-elements)"
    )]
    TooManyTableElements {
        /// What it has.
        elements: u64,
        /// The most that it may have.
        max_elements: u64,
    },
    /// A module of the component has more memories than the engine takes.
    #[error("a module of it has {memories} memories, and the engine takes {max_memories}")]
    TooManyMemories {
        /// What it has.
        memories: u32,
        /// The most that a module may have.
        max_memories: u32,
    },
    /// A module of the component has more tables than the engine takes.
    #[error("a module of it has {tables} tables, and the engine takes {max_tables}")]
    TooManyTables {
        /// What it has.
        tables: u32,
        /// The most that a module may have.
        max_tables: u32,
    },
    /// What the engine keeps for one instance, beside its memories and tables, is
    /// more than it may be.
    #[error("one instance of it is too large for the engine: {0}")]
    InstanceTooLarge(String),
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
    /// No instance of the component can be made: its start traps or takes too long,
    /// or there is no memory for it.
    #[error("an instance of it cannot be made: {0}")]
    Instantiate(String),
    /// A file of `fanlight compile` is not as it was written.
    #[error("this file of `fanlight compile` is damaged: {0}; compile the component again")]
    CompiledDamaged(String),
    /// A file of `fanlight compile` is for another engine, other settings or another
    /// processor.
    #[error(
        "it was compiled by {compiled_by} and does not run here: {why}; compile it again with \
         this fanlight"
    )]
    CompiledElsewhere {
        /// What compiled it.
        compiled_by: String,
        /// What differs.
        why: String,
    },
    /// A file of `fanlight compile` was uploaded.
    #[error(
        "this is a file of `fanlight compile`, and its native code is taken only from a file that \
         the operator names: upload the component itself"
    )]
    CompiledUpload,
    /// The component did not answer the probe as it should.
    #[error("the probe {path} failed: {why}")]
    Probe {
        /// What was asked for.
        path: String,
        /// What came instead.
        why: String,
    },
    /// There is no new component, since its build failed.
    #[error("{failure}")]
    Build {
        /// What failed, in one line.
        failure: String,
        /// The last lines that the build printed.
        output: String,
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
            Self::UnsupportedFeatures(_) => "unsupported_features",
            Self::EngineLimit(_) => "engine_limit",
            Self::Compile(_) => "compile",
            Self::Imports(_) => "imports",
            Self::Exports(_) => "exports",
            Self::TooMuchMemory { .. } => "too_much_memory",
            Self::TooManyTableElements { .. } => "too_many_table_elements",
            Self::TooManyMemories { .. } => "too_many_memories",
            Self::TooManyTables { .. } => "too_many_tables",
            Self::InstanceTooLarge(_) => "instance_too_large",
            Self::TooManyParts { .. } => "too_many_parts",
            Self::Instantiate(_) => "instantiate",
            Self::CompiledDamaged(_) => "compiled_damaged",
            Self::CompiledElsewhere { .. } => "compiled_elsewhere",
            Self::CompiledUpload => "compiled_upload",
            Self::Probe { .. } => "probe",
            Self::Build { .. } => "build",
        }
    }

    /// The reason with its sources, in one line; that of a build has its output below.
    pub fn reason(&self) -> String {
        match self {
            Self::Read { source, .. } => format!("{self}: {source}"),
            Self::Build { output, .. } => format!("{self}\n{output}"),
            _ => self.to_string(),
        }
    }
}

/// Names as a sentence lists them: `a`, `a and b`, `a, b and c`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_proposals_that_are_missing_are_listed() {
        let reason = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            LoadError::UnsupportedFeatures(names).reason()
        };
        let one = "it needs threads, which this host does not offer";
        assert_eq!(reason(&["threads"]), one);
        let three = "it needs a, b and c, which this host does not offer";
        assert_eq!(reason(&["a", "b", "c"]), three);
    }
}
