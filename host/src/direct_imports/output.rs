//! A component that is written, and how far its core index spaces are.

use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ExportKind, InstanceSection,
    ModuleArg, RawSection,
};

/// Each definition of the core gives the index that it has.
#[derive(Default)]
pub(super) struct Output {
    component: Component,
    instances: u32,
    functions: u32,
    memories: u32,
    tables: u32,
}

impl Output {
    /// Writes a section as it is.
    pub(super) fn section(&mut self, id: u8, data: &[u8]) {
        self.component.section(&RawSection { id, data });
    }

    /// Instantiates a core module.
    pub(super) fn instantiate(&mut self, module: u32, arguments: &[(&str, u32)]) -> u32 {
        let arguments = arguments.iter();
        let arguments = arguments.map(|(name, index)| (*name, ModuleArg::Instance(*index)));
        let mut section = InstanceSection::new();
        section.instantiate(module, arguments.collect::<Vec<_>>());
        self.component.section(&section);
        next(&mut self.instances)
    }

    /// Makes a core instance of what others export.
    pub(super) fn bundle(&mut self, exports: &[(&str, ExportKind, u32)]) -> u32 {
        let mut section = InstanceSection::new();
        section.export_items(exports.iter().copied());
        self.component.section(&section);
        next(&mut self.instances)
    }

    /// Names what a core instance exports.
    pub(super) fn core_alias(&mut self, instance: u32, kind: ExportKind, name: &str) -> u32 {
        self.alias(Alias::CoreInstanceExport {
            instance,
            kind,
            name,
        });
        next(match kind {
            ExportKind::Func => &mut self.functions,
            ExportKind::Memory => &mut self.memories,
            // Nothing else is read.
            _ => &mut self.tables,
        })
    }

    /// Names something that is not of the core.
    pub(super) fn alias(&mut self, alias: Alias<'_>) {
        let mut section = ComponentAliasSection::new();
        section.alias(alias);
        self.component.section(&section);
    }

    /// Lifts a function.
    pub(super) fn lifted(&mut self, section: &CanonicalFunctionSection) {
        self.component.section(section);
    }

    /// Lowers a function, or makes one of the component model.
    pub(super) fn lowered(&mut self, section: &CanonicalFunctionSection) -> u32 {
        self.component.section(section);
        next(&mut self.functions)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.component.finish()
    }
}

fn next(written: &mut u32) -> u32 {
    let index = *written;
    *written += 1;
    index
}
