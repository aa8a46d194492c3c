//! How a component's imports come to its main module: the shims and the fixup that
//! `wit-component` adds, found by what they do, not by what they are called.

use std::collections::{HashMap, HashSet};

use wasmparser::{
    CanonicalFunction, CanonicalOption, ElementItems, ElementKind, ExternalKind, Instance,
    Operator, Parser, Payload, TypeRef,
};

use crate::Unsupported;
use crate::definitions::{CoreExport, Definition, Definitions};

/// The table's name in all three.
const TABLE: &str = "$imports";
/// The most shims that are looked at.
const MAX_SHIMS: u32 = 10_000;

/// A module and its one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) module: u32,
    pub(crate) instance: u32,
}

impl Part {
    fn of(module: u32, definitions: &Definitions<'_>) -> Result<Self, Unsupported> {
        let instance = definitions.only_instance_of(module)?;
        Ok(Self { module, instance })
    }
}

/// The way of a component's imports.
pub(crate) struct Indirection<'a> {
    pub(crate) shim: Part,
    pub(crate) fixup: Part,
    /// What was put together for the fixup's instance.
    pub(crate) fixup_arguments: HashSet<u32>,
    /// What has the memory, and calls the imports.
    pub(crate) main: Part,
    /// The main module's allocator, where an import needs one.
    pub(crate) allocator: Option<&'a str>,
    /// Of the shims, by their indices as core functions, what each calls.
    pub(crate) targets: HashMap<u32, u32>,
}

impl<'a> Indirection<'a> {
    /// Finds it.
    ///
    /// # Errors
    /// Where there is none, or another.
    pub(crate) fn find(definitions: &Definitions<'a>) -> Result<Self, Unsupported> {
        let (shim_module, shims) = only(definitions.modules(), shims_of)?;
        let (fixup_module, slots) = only(definitions.modules(), slots_of)?;
        let shim = Part::of(shim_module, definitions)?;
        let fixup = Part::of(fixup_module, definitions)?;

        let memories = definitions.memories();
        let memory = memories.first().ok_or(Unsupported("it has no memory"))?;
        if memories.iter().any(|it| it != memory) {
            return Err(Unsupported("it has several memories"));
        }
        let main = match definitions.instance(memory.instance)? {
            Instance::Instantiate { module_index, .. } => Part::of(*module_index, definitions)?,
            Instance::FromExports(_) => return Err(Unsupported("its memory comes of no module")),
        };

        let arguments = Arguments::of(fixup.instance, definitions)?;
        if !arguments.is_table_of(shim.instance, slots.table, definitions) {
            return Err(Unsupported("its fixup takes another table"));
        }

        let mut targets = HashMap::new();
        for (index, export) in (0_u32..).zip(definitions.functions()) {
            if let Some(CoreExport { instance, name, .. }) = export
                && *instance == shim.instance
            {
                let slot = shims.get(*name).and_then(|slot| slots.imports.get(slot));
                let import = *slot.ok_or(Unsupported("a shim calls nothing"))?;
                targets.insert(index, arguments.function(import)?);
            }
        }
        if targets.values().any(|target| targets.contains_key(target)) {
            return Err(Unsupported("a shim calls another one"));
        }
        Ok(Self {
            shim,
            fixup,
            fixup_arguments: arguments.bundles(),
            main,
            allocator: allocator(definitions, main.instance)?,
            targets,
        })
    }
}

/// An import of a module: by which name, and of which.
type Import<'a> = (&'a str, &'a str);

/// What a fixup does.
struct Slots<'a> {
    /// The table that it fills, as it imports it.
    table: Import<'a>,
    /// What it puts into each slot.
    imports: HashMap<u64, Import<'a>>,
}

/// What an instance is given.
struct Arguments<'a> {
    instances: HashMap<&'a str, u32>,
    /// What those among them export that were put together.
    exports: HashMap<(u32, &'a str, u8), u32>,
}

impl<'a> Arguments<'a> {
    fn of(instance: u32, definitions: &Definitions<'a>) -> Result<Self, Unsupported> {
        let Instance::Instantiate { args, .. } = definitions.instance(instance)? else {
            return Err(Unsupported("its fixup is no module's"));
        };
        let mut exports = HashMap::new();
        for argument in args {
            if let Instance::FromExports(bundled) = definitions.instance(argument.index)? {
                let bundled = bundled.iter();
                exports
                    .extend(bundled.map(|it| ((argument.index, it.name, it.kind as u8), it.index)));
            }
        }
        Ok(Self {
            instances: args.iter().map(|it| (it.name, it.index)).collect(),
            exports,
        })
    }

    /// The core function that is given for an import.
    fn function(&self, import: Import<'a>) -> Result<u32, Unsupported> {
        let export = self.export(import, ExternalKind::Func);
        export.ok_or(Unsupported("its fixup is not given all"))
    }

    /// Whether what is given for an import is the table of this instance.
    fn is_table_of(&self, shim: u32, import: Import<'a>, definitions: &Definitions<'_>) -> bool {
        if import.1 == TABLE && self.instances.get(import.0) == Some(&shim) {
            return true;
        }
        let table = self.export(import, ExternalKind::Table);
        table
            .and_then(|it| definitions.table(it))
            .is_some_and(|it| it.instance == shim && it.name == TABLE)
    }

    fn export(&self, (module, name): Import<'a>, kind: ExternalKind) -> Option<u32> {
        let instance = *self.instances.get(module)?;
        self.exports.get(&(instance, name, kind as u8)).copied()
    }

    /// Those among them that were put together.
    fn bundles(&self) -> HashSet<u32> {
        self.exports
            .keys()
            .map(|(instance, ..)| *instance)
            .collect()
    }
}

/// The allocator of the main module that imports are lowered with.
fn allocator<'a>(definitions: &Definitions<'a>, main: u32) -> Result<Option<&'a str>, Unsupported> {
    let mut allocator = None;
    for definition in &definitions.list {
        let Definition::Lowered(CanonicalFunction::Lower { options, .. }, _) = definition else {
            continue;
        };
        for option in options {
            let CanonicalOption::Realloc(function) = option else {
                continue;
            };
            let export = definitions.functions().get(*function as usize);
            match export.copied().flatten() {
                Some(it) if it.instance == main && allocator.is_none_or(|name| name == it.name) => {
                    allocator = Some(it.name);
                }
                _ => return Err(Unsupported("its imports take several allocators")),
            }
        }
    }
    Ok(allocator)
}

/// The one module that is of a kind, and what it is.
fn only<'a, T>(
    modules: &[&'a [u8]],
    read: impl Fn(&'a [u8]) -> Result<Option<T>, Unsupported>,
) -> Result<(u32, T), Unsupported> {
    let mut found = None;
    for (index, module) in (0_u32..).zip(modules) {
        if let Some(it) = read(module)?
            && found.replace((index, it)).is_some()
        {
            return Err(Unsupported("it has several shims or fixups"));
        }
    }
    found.ok_or(Unsupported("it has no shims, or no fixup"))
}

/// Of a module of shims, which slot of the table each export calls; None where it
/// is another module.
fn shims_of(module: &[u8]) -> Result<Option<HashMap<&str, u64>>, Unsupported> {
    let (mut exports, mut slots) = (Vec::new(), Vec::new());
    let (mut tables, mut has_table) = (0, false);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::Version { .. }
            | Payload::TypeSection(_)
            | Payload::FunctionSection(_)
            | Payload::CodeSectionStart {
                count: ..=MAX_SHIMS,
                ..
            }
            | Payload::CustomSection(_)
            | Payload::End(_) => {}
            Payload::TableSection(section) => tables += section.count(),
            Payload::ExportSection(section) if section.count() <= MAX_SHIMS => {
                for export in section {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Func => exports.push(export),
                        ExternalKind::Table if export.name == TABLE => has_table = true,
                        _ => return Ok(None),
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                let mut operators = body.get_operators_reader()?;
                let mut parameters = 0;
                let slot = loop {
                    match operators.read()? {
                        Operator::LocalGet { local_index } if local_index == parameters => {
                            parameters += 1;
                        }
                        Operator::I32Const { value } => break u64::from(value.cast_unsigned()),
                        _ => return Ok(None),
                    }
                };
                let call = (operators.read()?, operators.read()?);
                let (Operator::CallIndirect { table_index: 0, .. }, Operator::End) = call else {
                    return Ok(None);
                };
                slots.push(slot);
            }
            _ => return Ok(None),
        }
    }
    if tables != 1 || !has_table {
        return Ok(None);
    }
    let slot = |index: u32| slots.get(index as usize).copied();
    let shims = exports.into_iter();
    Ok(shims
        .map(|export| Some((export.name, slot(export.index)?)))
        .collect())
}

/// What a fixup does; None where it is another module.
fn slots_of(module: &[u8]) -> Result<Option<Slots<'_>>, Unsupported> {
    let (mut imports, mut slots) = (Vec::new(), HashMap::new());
    let mut table = None;
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::Version { .. }
            | Payload::TypeSection(_)
            | Payload::CustomSection(_)
            | Payload::End(_) => {}
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    match import.ty {
                        _ if imports.len() >= MAX_SHIMS as usize => return Ok(None),
                        TypeRef::Func(_) => imports.push((import.module, import.name)),
                        TypeRef::Table(_) if table.is_none() => {
                            table = Some((import.module, import.name));
                        }
                        _ => return Ok(None),
                    }
                }
            }
            Payload::ElementSection(section) if section.count() == 1 => {
                for element in section {
                    let element = element?;
                    let ElementKind::Active {
                        table_index: None | Some(0),
                        offset_expr,
                    } = element.kind
                    else {
                        return Ok(None);
                    };
                    let mut offset = offset_expr.get_operators_reader();
                    let offset = (offset.read()?, offset.read()?);
                    let (Operator::I32Const { value }, Operator::End) = offset else {
                        return Ok(None);
                    };
                    let ElementItems::Functions(functions) = element.items else {
                        return Ok(None);
                    };
                    if functions.count() > MAX_SHIMS {
                        return Ok(None);
                    }
                    for (slot, function) in (u64::from(value.cast_unsigned())..).zip(functions) {
                        let Some(import) = imports.get(function? as usize) else {
                            return Ok(None);
                        };
                        slots.insert(slot, *import);
                    }
                }
            }
            _ => return Ok(None),
        }
    }
    Ok(table.map(|table| Slots {
        table,
        imports: slots,
    }))
}
