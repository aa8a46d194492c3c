//! Writes a component anew, its definitions in another order.

use std::collections::HashMap;

use wasm_encoder::reencode::{self, Reencode, ReencodeComponent};
use wasm_encoder::{CanonicalFunctionSection, ExportKind};
use wasmparser::{CanonicalFunction, ExternalKind, Instance};

use crate::Unsupported;
use crate::definitions::{CoreExport, Definition, Definitions};
use crate::indirection::Indirection;
use crate::main_module::MainModule;
use crate::memory::{
    ALLOCATOR, MEMORY, MEMORY_IMPORT, MODULE, TABLE, allocator_fixup, memory_module,
};
use crate::output::Output;

/// A component that is being written.
///
/// The order stays but for two things. The memory's instance takes the place of
/// the shims'. The main module's instance, and what it is given, wait until the
/// fixup's: then all imports are lowered.
pub(crate) struct Relinking<'a> {
    definitions: &'a Definitions<'a>,
    indirection: &'a Indirection<'a>,
    main: &'a MainModule<'a>,
    output: Output,
    places: Places,
    /// None before it is instantiated.
    memory: Option<MemoryInstance>,
    /// Instances that wait, by their indices as they were read.
    waiting: Vec<u32>,
    /// Functions of the main module that were named before its instance is there.
    early: Vec<(&'a str, u32)>,
    is_main_there: bool,
}

/// What was instantiated after the main module still is.
const EARLIER: Unsupported = Unsupported("it would run before the main module");

/// The instance of the memory, and what is named of it.
#[derive(Clone, Copy)]
struct MemoryInstance {
    instance: u32,
    memory: u32,
    allocator: u32,
}

/// Where the definitions that were read have come.
#[derive(Default)]
struct Places {
    instances: HashMap<u32, u32>,
    functions: HashMap<u32, u32>,
    memories: HashMap<u32, u32>,
    tables: HashMap<u32, u32>,
}

impl Reencode for Places {
    type Error = Unsupported;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error<Unsupported>> {
        place(&self.functions, index).map_err(reencode::Error::UserError)
    }

    fn memory_index(&mut self, index: u32) -> Result<u32, reencode::Error<Unsupported>> {
        place(&self.memories, index).map_err(reencode::Error::UserError)
    }

    fn table_index(&mut self, index: u32) -> Result<u32, reencode::Error<Unsupported>> {
        place(&self.tables, index).map_err(reencode::Error::UserError)
    }
}

impl ReencodeComponent for Places {}

fn place(places: &HashMap<u32, u32>, index: u32) -> Result<u32, Unsupported> {
    let place = places.get(&index);
    place
        .copied()
        .ok_or(Unsupported("it needs the main module before its imports"))
}

impl<'a> Relinking<'a> {
    pub(crate) fn new(
        definitions: &'a Definitions<'a>,
        indirection: &'a Indirection<'a>,
        main: &'a MainModule<'a>,
    ) -> Self {
        Self {
            definitions,
            indirection,
            main,
            output: Output::default(),
            places: Places::default(),
            memory: None,
            waiting: Vec::new(),
            early: Vec::new(),
            is_main_there: false,
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// Where something is needed earlier than it can be there.
    pub(crate) fn run(mut self) -> Result<Vec<u8>, Unsupported> {
        for definition in &self.definitions.list {
            match definition {
                Definition::Section(section) => {
                    if section.runs() && self.main_waits() {
                        return Err(EARLIER);
                    }
                    self.output.section(section.id, section.bytes);
                }
                Definition::CoreModule(index) => self.module(*index)?,
                Definition::CoreInstance(index) => self.instance(*index)?,
                Definition::CoreAlias(export, index) => self.core_alias(*export, *index)?,
                Definition::Alias(alias) => {
                    let alias = self.places.component_alias(alias.clone())?;
                    self.output.alias(alias);
                }
                Definition::Lowered(function, index) => {
                    let section = self.canonical(function)?;
                    let at = self.output.lowered(&section);
                    self.places.functions.insert(*index, at);
                }
                Definition::Lifted(function) => {
                    let section = self.canonical(function)?;
                    self.output.lifted(&section);
                }
            }
        }
        Ok(self.output.finish())
    }

    fn canonical(
        &mut self,
        function: &CanonicalFunction,
    ) -> Result<CanonicalFunctionSection, Unsupported> {
        let mut section = CanonicalFunctionSection::new();
        self.places
            .parse_component_canonical(&mut section, function.clone())?;
        Ok(section)
    }

    /// Modules keep their indices: each is in the place of the one that it replaces.
    fn module(&mut self, index: u32) -> Result<(), Unsupported> {
        let indirection = self.indirection;
        let written = if index == indirection.main.module {
            Some(self.main.without_memory()?)
        } else if index == indirection.shim.module {
            Some(memory_module(self.main)?)
        } else if index == indirection.fixup.module {
            Some(allocator_fixup())
        } else {
            None
        };
        let module = self.definitions.module(index)?;
        self.output
            .module(written.as_deref().unwrap_or(module), module);
        Ok(())
    }

    fn instance(&mut self, index: u32) -> Result<(), Unsupported> {
        let indirection = self.indirection;
        let is_bundle = matches!(self.definitions.instance(index)?, Instance::FromExports(_));
        if index == indirection.shim.instance {
            self.memory_instance();
            Ok(())
        } else if indirection.fixup_arguments.contains(&index) {
            Ok(())
        } else if index == indirection.fixup.instance {
            self.main_instance()
        } else if !self.is_main_there && (is_bundle || index == indirection.main.instance) {
            self.waiting.push(index);
            Ok(())
        } else if self.main_waits() {
            Err(EARLIER)
        } else {
            self.same_instance(index, &[])
        }
    }

    /// Whether the main module would have been instantiated by now.
    fn main_waits(&self) -> bool {
        self.waiting.contains(&self.indirection.main.instance)
    }

    fn memory_instance(&mut self) {
        let instance = self.output.instantiate(self.indirection.shim.module, &[]);
        let mut named = |kind, name| self.output.core_alias(instance, kind, name);
        self.memory = Some(MemoryInstance {
            instance,
            memory: named(ExportKind::Memory, MEMORY),
            allocator: named(ExportKind::Func, ALLOCATOR),
        });
    }

    /// Instantiates the main module, now that all of its imports are there, and
    /// then puts its allocator where the memory's module calls it.
    fn main_instance(&mut self) -> Result<(), Unsupported> {
        let memory = self.memory()?;
        for (shim, target) in &self.indirection.targets {
            let at = place(&self.places.functions, *target)?;
            self.places.functions.insert(*shim, at);
        }
        let imports = [(MEMORY_IMPORT, ExportKind::Memory, memory.memory)];
        let imports = self.output.bundle(&imports);
        for index in std::mem::take(&mut self.waiting) {
            let more = match index == self.indirection.main.instance {
                true => &[(MODULE, imports)][..],
                false => &[],
            };
            self.same_instance(index, more)?;
        }
        self.is_main_there = true;
        let main = place(&self.places.instances, self.indirection.main.instance)?;
        for (name, index) in std::mem::take(&mut self.early) {
            // The allocator as well: what is lifted needs no detour.
            let at = self.output.core_alias(main, ExportKind::Func, name);
            self.places.functions.insert(index, at);
        }
        let Some(name) = self.indirection.allocator else {
            return Ok(());
        };
        let arguments = [
            (
                ALLOCATOR,
                ExportKind::Func,
                self.output.core_alias(main, ExportKind::Func, name),
            ),
            (
                TABLE,
                ExportKind::Table,
                self.output
                    .core_alias(memory.instance, ExportKind::Table, TABLE),
            ),
        ];
        let arguments = self.output.bundle(&arguments);
        let fixup = self.indirection.fixup.module;
        self.output.instantiate(fixup, &[(MODULE, arguments)]);
        Ok(())
    }

    /// An instance as it was, with more arguments.
    fn same_instance(&mut self, index: u32, more: &[(&'a str, u32)]) -> Result<(), Unsupported> {
        let at = match self.definitions.instance(index)? {
            Instance::Instantiate { module_index, args } => {
                let mut arguments = Vec::new();
                for argument in args {
                    let at = place(&self.places.instances, argument.index)?;
                    arguments.push((argument.name, at));
                }
                arguments.extend(more);
                self.output.instantiate(*module_index, &arguments)
            }
            Instance::FromExports(exports) => {
                let mut bundled = Vec::new();
                for export in exports {
                    let places = match export.kind {
                        ExternalKind::Func => &self.places.functions,
                        ExternalKind::Memory => &self.places.memories,
                        ExternalKind::Table => &self.places.tables,
                        _ => return Err(Unsupported("its modules share what is not known here")),
                    };
                    let at = place(places, export.index)?;
                    bundled.push((export.name, export.kind.into(), at));
                }
                self.output.bundle(&bundled)
            }
        };
        self.places.instances.insert(index, at);
        Ok(())
    }

    fn core_alias(&mut self, export: CoreExport<'a>, index: u32) -> Result<(), Unsupported> {
        let indirection = self.indirection;
        let is_of_main = export.instance == indirection.main.instance;
        if export.instance == indirection.shim.instance {
            // What it stands for is lowered later.
            return Ok(());
        }
        if export.kind == ExternalKind::Memory {
            let memory = self.memory()?.memory;
            self.places.memories.insert(index, memory);
            return Ok(());
        }
        if is_of_main && !self.is_main_there && export.kind == ExternalKind::Func {
            if indirection.allocator == Some(export.name) {
                let allocator = self.memory()?.allocator;
                self.places.functions.insert(index, allocator);
            }
            self.early.push((export.name, index));
            return Ok(());
        }
        let instance = place(&self.places.instances, export.instance)?;
        let at = self
            .output
            .core_alias(instance, export.kind.into(), export.name);
        let places = match export.kind {
            ExternalKind::Func => &mut self.places.functions,
            _ => &mut self.places.tables,
        };
        places.insert(index, at);
        Ok(())
    }

    fn memory(&self) -> Result<MemoryInstance, Unsupported> {
        self.memory
            .ok_or(Unsupported("it needs its memory before its shims"))
    }
}
