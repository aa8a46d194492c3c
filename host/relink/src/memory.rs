//! The modules that are new: the memory's, and the one that tells it the
//! allocator.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, ImportSection, MemorySection, Module, NameMap,
    NameSection, RefType, TableSection, TableType, TypeSection, ValType,
};

use crate::Unsupported;
use crate::main_module::MainModule;

/// What the memory's module exports, and the others import of it.
pub(crate) const MEMORY: &str = "memory";
pub(crate) const ALLOCATOR: &str = "cabi_realloc";
pub(crate) const TABLE: &str = "allocator";
/// What the main module imports the memory as: no longer than a section's head.
pub(crate) const MEMORY_IMPORT: &str = "";
/// The module that they import it from, which no import of WIT is called.
pub(crate) const MODULE: &str = "";

/// The table of the allocator.
const ALLOCATOR_TABLE: TableType = TableType {
    element_type: RefType::FUNCREF,
    table64: false,
    minimum: 1,
    maximum: Some(1),
    shared: false,
};

/// The memory with its data, and the allocator, which calls what is in the
/// table.
pub(crate) fn memory_module(main: &MainModule<'_>) -> Result<Vec<u8>, Unsupported> {
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut tables = TableSection::new();
    tables.table(ALLOCATOR_TABLE);
    let mut memories = MemorySection::new();
    memories.memory(main.memory.into());
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
    if let Some(section) = &main.data {
        let mut data = DataSection::new();
        RoundtripReencoder
            .parse_data_section(&mut data, section.clone())
            .map_err(|_| Unsupported("it has what cannot be written"))?;
        module.section(&data);
    }
    // For backtraces, and for tools that print the component.
    let mut names = NameSection::new();
    names.module("memory");
    let mut functions = NameMap::new();
    functions.append(0, ALLOCATOR);
    names.functions(&functions);
    module.section(&names);
    Ok(module.finish())
}

/// Puts the allocator into the table.
pub(crate) fn allocator_fixup() -> Vec<u8> {
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
