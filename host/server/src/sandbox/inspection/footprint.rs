//! The memories and tables that a component defines.

use serde::{Deserialize, Serialize};
use wasmparser::{MemoryType, TableType};

/// The most memories, and the most tables, that are listed one by one.
const MAX_LISTED: usize = 100;
/// A page of a memory that says nothing of its own: 64 KiB.
const PAGE_SIZE_LOG2: u32 = 16;

/// The memories and tables that a component's modules define.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// The first hundred.
    pub memories: Vec<Memory>,
    /// How many there are.
    pub memory_count: usize,
    /// The first hundred.
    pub tables: Vec<Table>,
    /// How many there are.
    pub table_count: usize,
}

/// A linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Its size from the start.
    pub initial_bytes: u64,
    /// The most that it may grow to by itself; none: as far as the host lets it.
    pub maximum_bytes: Option<u64>,
}

/// A table of functions or references.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its elements from the start.
    pub initial: u64,
    /// The most that it may grow to by itself.
    pub maximum: Option<u64>,
}

impl Footprint {
    pub(crate) fn add_memory(&mut self, memory: &MemoryType) {
        self.memory_count += 1;
        if self.memories.len() < MAX_LISTED {
            self.memories.push(Memory {
                initial_bytes: bytes(memory, memory.initial),
                maximum_bytes: memory.maximum.map(|pages| bytes(memory, pages)),
            });
        }
    }

    pub(crate) fn add_table(&mut self, table: &TableType) {
        self.table_count += 1;
        if self.tables.len() < MAX_LISTED {
            self.tables.push(Table {
                initial: table.initial,
                maximum: table.maximum,
            });
        }
    }
}

/// The bytes with which a memory begins.
pub(crate) fn first_bytes(memory: &MemoryType) -> u64 {
    bytes(memory, memory.initial)
}

fn bytes(memory: &MemoryType, pages: u64) -> u64 {
    let page_bytes = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(PAGE_SIZE_LOG2));
    pages.saturating_mul(page_bytes.unwrap_or(u64::MAX))
}
