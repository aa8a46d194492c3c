//! A component that is written, and how far its core index spaces are.

use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ComponentSection,
    ComponentSectionId, Encode, ExportKind, InstanceSection, ModuleArg, RawSection,
};

/// Each definition of the core gives the index that it has.
#[derive(Default)]
pub(crate) struct Output {
    component: Component,
    instances: u32,
    functions: u32,
    memories: u32,
    tables: u32,
}

impl Output {
    /// Writes a section as it is.
    pub(crate) fn section(&mut self, id: u8, data: &[u8]) {
        self.component.section(&RawSection { id, data });
    }

    /// Writes a core module instead of another one, so that it begins where that
    /// one did: its size takes as many bytes.
    pub(crate) fn module(&mut self, module: &[u8], instead_of: &[u8]) {
        self.component.section(&CoreModule {
            module,
            size_bytes: size_bytes(instead_of.len()),
        });
    }

    /// Instantiates a core module.
    pub(crate) fn instantiate(&mut self, module: u32, arguments: &[(&str, u32)]) -> u32 {
        let arguments = arguments.iter();
        let arguments = arguments.map(|(name, index)| (*name, ModuleArg::Instance(*index)));
        let mut section = InstanceSection::new();
        section.instantiate(module, arguments.collect::<Vec<_>>());
        self.component.section(&section);
        next(&mut self.instances)
    }

    /// Makes a core instance of what others export.
    pub(crate) fn bundle(&mut self, exports: &[(&str, ExportKind, u32)]) -> u32 {
        let mut section = InstanceSection::new();
        section.export_items(exports.iter().copied());
        self.component.section(&section);
        next(&mut self.instances)
    }

    /// Names what a core instance exports.
    pub(crate) fn core_alias(&mut self, instance: u32, kind: ExportKind, name: &str) -> u32 {
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
    pub(crate) fn alias(&mut self, alias: Alias<'_>) {
        let mut section = ComponentAliasSection::new();
        section.alias(alias);
        self.component.section(&section);
    }

    /// Lifts a function.
    pub(crate) fn lifted(&mut self, section: &CanonicalFunctionSection) {
        self.component.section(section);
    }

    /// Lowers a function, or makes one of the component model.
    pub(crate) fn lowered(&mut self, section: &CanonicalFunctionSection) -> u32 {
        self.component.section(section);
        next(&mut self.functions)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.component.finish()
    }
}

/// A core module whose size field has at least a given number of bytes.
struct CoreModule<'a> {
    module: &'a [u8],
    size_bytes: usize,
}

impl Encode for CoreModule<'_> {
    fn encode(&self, sink: &mut Vec<u8>) {
        let mut size = self.module.len();
        // LEB128: seven bits a byte, and the high one where one more follows.
        for left in (0..self.size_bytes.max(size_bytes(size))).rev() {
            let more = if left == 0 { 0 } else { 0x80 };
            sink.push((size & 0x7f) as u8 | more);
            size >>= 7;
        }
        sink.extend(self.module);
    }
}

impl ComponentSection for CoreModule<'_> {
    fn id(&self) -> u8 {
        ComponentSectionId::CoreModule as u8
    }
}

/// How many bytes it takes to tell a size.
fn size_bytes(size: usize) -> usize {
    let bits = usize::BITS - (size | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn next(written: &mut u32) -> u32 {
    let index = *written;
    *written += 1;
    index
}
