//! The modules that are written: the main one without its memory, the memory's
//! own, and the one that tells it the allocator.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, ImportSection, MemorySection, Module, NameMap,
    NameSection, RawSection, RefType, TableSection, TableType, TypeSection, ValType,
};
use wasmparser::{
    DataKind, DataSectionReader, ExternalKind, MemoryType, Operator, Parser, Payload, TypeRef,
};

use super::Stays;

/// What the memory's module exports, and the others import of it.
pub(super) const MEMORY: &str = "memory";
pub(super) const ALLOCATOR: &str = "cabi_realloc";
pub(super) const TABLE: &str = "allocator";
/// The module that they import it from, which no import of WIT is called.
pub(super) const MODULE: &str = "";

/// The table of the allocator.
const ALLOCATOR_TABLE: TableType = TableType {
    element_type: RefType::FUNCREF,
    table64: false,
    minimum: 1,
    maximum: Some(1),
    shared: false,
};

/// The main module.
pub(super) struct Main<'a> {
    bytes: &'a [u8],
    memory: MemoryType,
    data: Option<DataSectionReader<'a>>,
}

impl<'a> Main<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// Where its memory or its data cannot be apart from it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Stays> {
        let mut memories = Vec::new();
        let mut data = None;
        let mut is_exported = false;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        if matches!(import.ty, TypeRef::Memory(_)) || import.module == MODULE {
                            return Err(Stays("its main module imports a memory"));
                        }
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        memories.push(memory?);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        is_exported |= export?.kind == ExternalKind::Memory;
                    }
                }
                // Its code may use the data later, by their indices.
                Payload::DataCountSection { .. } => {
                    return Err(Stays("its code names its data"));
                }
                Payload::DataSection(section) => {
                    check_data(section.clone())?;
                    data = Some(section);
                }
                _ => {}
            }
        }
        let [memory] = memories[..] else {
            return Err(Stays("its main module has not just one memory"));
        };
        if memory.memory64 || memory.shared || memory.page_size_log2.is_some() || !is_exported {
            return Err(Stays("its memory is of another kind"));
        }
        Ok(Self {
            bytes,
            memory,
            data,
        })
    }

    /// It, importing its memory.
    pub(super) fn without_memory(&self) -> Result<Vec<u8>, Stays> {
        let mut module = Module::new();
        let mut imports_memory = false;
        for payload in Parser::new(0).parse_all(self.bytes) {
            match payload? {
                // The code's bodies are in the section that was written as a whole.
                Payload::MemorySection(_)
                | Payload::DataSection(_)
                | Payload::CodeSectionEntry(_) => {}
                Payload::ImportSection(section) => {
                    let mut imports = ImportSection::new();
                    RoundtripReencoder
                        .parse_import_section(&mut imports, section)
                        .map_err(|_| Stays("it has what cannot be written"))?;
                    imports.import(MODULE, MEMORY, EntityType::Memory(self.memory.into()));
                    module.section(&imports);
                    imports_memory = true;
                }
                other => {
                    if let Some((id, range)) = other.as_section() {
                        let data = self.bytes.get(range).ok_or(Stays("it is cut off"))?;
                        module.section(&RawSection { id, data });
                    }
                }
            }
        }
        match imports_memory {
            true => Ok(module.finish()),
            false => Err(Stays("its main module imports nothing")),
        }
    }

    /// The memory with its data, and the allocator, which calls what is in the
    /// table.
    pub(super) fn memory_alone(&self) -> Result<Vec<u8>, Stays> {
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut tables = TableSection::new();
        tables.table(ALLOCATOR_TABLE);
        let mut memories = MemorySection::new();
        memories.memory(self.memory.into());
        let mut exports = ExportSection::new();
        exports
            .export(MEMORY, ExportKind::Memory, 0)
            .export(ALLOCATOR, ExportKind::Func, 0)
            .export(TABLE, ExportKind::Table, 0);
        let mut allocator = Function::new([]);
        let mut code = allocator.instructions();
        (0..4).for_each(|parameter| {
            code.local_get(parameter);
        });
        code.i32_const(0).call_indirect(0, 0).end();
        let mut code = CodeSection::new();
        code.function(&allocator);

        let mut module = Module::new();
        module
            .section(&allocator_type())
            .section(&functions)
            .section(&tables)
            .section(&memories)
            .section(&exports)
            .section(&code);
        if let Some(section) = &self.data {
            let mut data = DataSection::new();
            RoundtripReencoder
                .parse_data_section(&mut data, section.clone())
                .map_err(|_| Stays("it has what cannot be written"))?;
            module.section(&data);
        }
        // For backtraces, and whoever prints the component.
        let mut names = NameSection::new();
        names.module("memory");
        let mut functions = NameMap::new();
        functions.append(0, ALLOCATOR);
        names.functions(&functions);
        module.section(&names);
        Ok(module.finish())
    }
}

/// Puts the allocator into the table.
pub(super) fn allocator_fixup() -> Vec<u8> {
    let mut imports = ImportSection::new();
    imports
        .import(MODULE, ALLOCATOR, EntityType::Function(0))
        .import(MODULE, TABLE, ALLOCATOR_TABLE);
    let mut elements = ElementSection::new();
    let allocator = Elements::Functions([0].as_slice().into());
    elements.active(None, &ConstExpr::i32_const(0), allocator);
    let mut module = Module::new();
    module
        .section(&allocator_type())
        .section(&imports)
        .section(&elements);
    module.finish()
}

/// The type of `cabi_realloc`, as the canonical ABI has it.
fn allocator_type() -> TypeSection {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types
}

/// Data that are there from the beginning, at a place that is known.
fn check_data(data: DataSectionReader<'_>) -> Result<(), Stays> {
    for segment in data {
        let DataKind::Active { offset_expr, .. } = segment?.kind else {
            return Err(Stays("it has data for later"));
        };
        let mut offset = offset_expr.get_operators_reader();
        let offset = (offset.read()?, offset.read()?);
        let (Operator::I32Const { .. }, Operator::End) = offset else {
            return Err(Stays("the place of its data is computed"));
        };
    }
    Ok(())
}
