//! The main module of a component: what has the memory, and calls the imports.

use wasm_encoder::{
    Encode, EntityType, MemoryType as EncodedMemory, Module, RawSection, SectionId,
};
use wasmparser::{
    DataKind, DataSectionReader, ExternalKind, MemoryType, Operator, Parser, Payload, TypeRef,
};

use crate::Unsupported;
use crate::memory::{MEMORY_IMPORT, MODULE};

/// The main module.
pub(crate) struct MainModule<'a> {
    bytes: &'a [u8],
    /// Its memory, and what is in there from the beginning.
    pub(crate) memory: MemoryType,
    pub(crate) data: Option<DataSectionReader<'a>>,
}

impl<'a> MainModule<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// Where its memory or its data cannot be apart from it.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Unsupported> {
        let mut memories = Vec::new();
        let mut data = None;
        let mut is_exported = false;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        if matches!(import.ty, TypeRef::Memory(_)) {
                            return Err(Unsupported("its main module imports a memory"));
                        }
                        if import.module == MODULE {
                            return Err(Unsupported("its main module imports what has no name"));
                        }
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section.into_iter().take(2) {
                        memories.push(memory?);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        is_exported |= export?.kind == ExternalKind::Memory;
                    }
                }
                // It would run before its imports are there, and does not then.
                Payload::StartSection { .. } => {
                    return Err(Unsupported("its main module starts by itself"));
                }
                // Its code may use the data later, by their indices.
                Payload::DataCountSection { .. } => {
                    return Err(Unsupported("its code names its data"));
                }
                Payload::DataSection(section) => {
                    check_data(section.clone())?;
                    data = Some(section);
                }
                _ => {}
            }
        }
        let [memory] = memories[..] else {
            return Err(Unsupported("its main module has not just one memory"));
        };
        if memory.memory64 || memory.shared || memory.page_size_log2.is_some() || !is_exported {
            return Err(Unsupported("its memory is of another kind"));
        }
        Ok(Self {
            bytes,
            memory,
            data,
        })
    }

    /// It, importing its memory. The import takes as many bytes as the section of
    /// the memory did, so that all offsets stay which backtraces tell.
    pub(crate) fn without_memory(&self) -> Result<Vec<u8>, Unsupported> {
        let mut module = Module::new();
        let mut imports_memory = false;
        for payload in Parser::new(0).parse_all(self.bytes) {
            match payload? {
                // The code's bodies are in the section that was written as a whole.
                Payload::MemorySection(_)
                | Payload::DataSection(_)
                | Payload::CodeSectionEntry(_) => {}
                Payload::ImportSection(section) => {
                    let range = section.range();
                    let imports = self.bytes.get(range).ok_or(Unsupported("it is cut off"))?;
                    let data = with_import(imports, section.count(), self.memory)?;
                    let id = SectionId::Import as u8;
                    module.section(&RawSection { id, data: &data });
                    imports_memory = true;
                }
                other => {
                    if let Some((id, range)) = other.as_section() {
                        let data = self.bytes.get(range).ok_or(Unsupported("it is cut off"))?;
                        module.section(&RawSection { id, data });
                    }
                }
            }
        }
        match imports_memory {
            true => Ok(module.finish()),
            false => Err(Unsupported("its main module imports nothing")),
        }
    }
}

/// A section of `count` imports with one more, of a memory.
fn with_import(section: &[u8], count: u32, memory: MemoryType) -> Result<Vec<u8>, Unsupported> {
    // The count is before them, in bytes whose high bit says that one more follows.
    let count_bytes = section.iter().position(|byte| *byte < 0x80);
    let imports = count_bytes.and_then(|last| section.get(last + 1..));
    let imports = imports.ok_or(Unsupported("it is cut off"))?;
    let mut with_memory = Vec::with_capacity(section.len() + 8);
    count.saturating_add(1).encode(&mut with_memory);
    with_memory.extend(imports);
    MODULE.encode(&mut with_memory);
    MEMORY_IMPORT.encode(&mut with_memory);
    EntityType::Memory(EncodedMemory::from(memory)).encode(&mut with_memory);
    Ok(with_memory)
}

/// Data that are there from the beginning, at a place that is known.
fn check_data(data: DataSectionReader<'_>) -> Result<(), Unsupported> {
    for segment in data {
        let DataKind::Active { offset_expr, .. } = segment?.kind else {
            return Err(Unsupported("it has data for later"));
        };
        let mut offset = offset_expr.get_operators_reader();
        let offset = (offset.read()?, offset.read()?);
        let (Operator::I32Const { .. }, Operator::End) = offset else {
            return Err(Unsupported("the place of its data is computed"));
        };
    }
    Ok(())
}
