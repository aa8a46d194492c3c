//! The flags that say which components can be served.

use std::num::NonZeroU32;

use bytesize::ByteSize;
use clap::Args;

use fanlight_server::EngineConfig;

use crate::args::limits::bytes;
use crate::args::values;

/// Bounds on one instance, for the commands that make one or say whether it could be
/// made.
#[derive(Debug, Args)]
pub(crate) struct ComponentArgs {
    /// Instances that live at once; a component joined from several counts once for
    /// each of them
    #[arg(
        long,
        env = "FANLIGHT_MAX_INSTANCES",
        value_name = "N",
        default_value = "5000"
    )]
    pub(crate) max_instances: NonZeroU32,
    /// The memory of one instance
    #[arg(
        long,
        env = "FANLIGHT_MAX_MEMORY",
        value_name = "SIZE",
        default_value = "64MiB", value_parser = values::memory)]
    pub(crate) max_memory: ByteSize,
    /// The elements of one table of an instance
    #[arg(
        long,
        env = "FANLIGHT_MAX_TABLE_ELEMENTS",
        value_name = "N",
        default_value = "100000"
    )]
    max_table_elements: u32,
}

/// The bound on a component's file.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The largest component
    #[arg(
        long,
        env = "FANLIGHT_MAX_COMPONENT",
        value_name = "SIZE",
        default_value = "64MiB", value_parser = values::size)]
    pub(crate) max_component: ByteSize,
}

impl ComponentArgs {
    pub(crate) fn max_table_elements(&self) -> usize {
        self.max_table_elements as usize
    }

    /// The configuration of an engine with these bounds, and without a cache.
    pub(crate) fn engine(&self, file: &FileArgs, direct_imports: bool) -> EngineConfig {
        EngineConfig {
            max_instances: self.max_instances,
            max_memory_bytes: bytes(self.max_memory),
            max_table_elements: self.max_table_elements(),
            max_component_bytes: bytes(file.max_component),
            direct_imports,
            grants_calls: false,
            cache_dir: None,
        }
    }
}
