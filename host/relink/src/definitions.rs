//! What a component defines, in order, and its core index spaces.

use wasm_encoder::ComponentSectionId;
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ComponentTypeRef, ExternalKind, Instance, Parser,
    Payload,
};

use crate::Unsupported;

/// The most sections and definitions of a component that are looked at. The
/// largest of this repository's components, with all of `wasi:cli`, has 400.
const MAX_DEFINITIONS: u32 = 20_000;
/// Modules that others see as well cannot be replaced.
const SHARED_MODULE: Unsupported = Unsupported("it shares its modules");

/// A component as it was read.
pub(crate) struct Definitions<'a> {
    /// Its sections as they stand.
    pub(crate) sections: Vec<Section<'a>>,
    /// The same, those that define or name something of the core one by one.
    pub(crate) list: Vec<Definition<'a>>,
    modules: Vec<&'a [u8]>,
    instances: Vec<Instance<'a>>,
    /// None is one that the component's own functions make: a lowered one.
    functions: Vec<Option<CoreExport<'a>>>,
    memories: Vec<CoreExport<'a>>,
    tables: Vec<CoreExport<'a>>,
    /// How many sections and definitions it has so far.
    count: u32,
}

/// A section as it stands.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    pub(crate) id: u8,
    pub(crate) bytes: &'a [u8],
}

/// A definition, with the index that it has in its core index space.
pub(crate) enum Definition<'a> {
    /// What neither defines nor names anything of the core.
    Section(Section<'a>),
    CoreModule(u32),
    CoreInstance(u32),
    CoreAlias(CoreExport<'a>, u32),
    Alias(ComponentAlias<'a>),
    /// A function that is lowered, or of the component model itself.
    Lowered(CanonicalFunction, u32),
    Lifted(CanonicalFunction),
}

/// Something that a core instance exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoreExport<'a> {
    pub(crate) kind: ExternalKind,
    pub(crate) instance: u32,
    pub(crate) name: &'a str,
}

impl Section<'_> {
    pub(crate) fn is_component(&self) -> bool {
        self.id == ComponentSectionId::Component as u8
    }

    /// Whether something runs by it: instances may, and start functions do.
    pub(crate) fn runs(&self) -> bool {
        let runs = [ComponentSectionId::Instance, ComponentSectionId::Start];
        runs.into_iter().any(|id| self.id == id as u8)
    }
}

impl<'a> Definitions<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// Where they are no component, or of a kind that nothing here knows.
    pub(crate) fn read(component: &'a [u8]) -> Result<Self, Unsupported> {
        let mut definitions = Self {
            sections: Vec::new(),
            list: Vec::new(),
            modules: Vec::new(),
            instances: Vec::new(),
            functions: Vec::new(),
            memories: Vec::new(),
            tables: Vec::new(),
            count: 0,
        };
        // 0 is the component itself, and more is in one of its parts.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            let is_own = depth == 0;
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            if is_own {
                definitions.take(component, payload)?;
            } else if let Payload::ComponentAliasSection(aliases) = payload {
                for alias in aliases {
                    check_alias(&alias?)?;
                }
            }
        }
        Ok(definitions)
    }

    fn take(&mut self, component: &'a [u8], payload: Payload<'a>) -> Result<(), Unsupported> {
        let Some((id, range)) = payload.as_section() else {
            return match payload {
                Payload::Version { .. } | Payload::End(_) => Ok(()),
                _ => Err(Unsupported("it has a part that is not known")),
            };
        };
        let bytes = component.get(range).ok_or(Unsupported("it is cut off"))?;
        let section = Section { id, bytes };
        self.count(1)?;
        self.sections.push(section);
        match payload {
            Payload::ModuleSection { .. } => {
                self.list.push(Definition::CoreModule(len(&self.modules)));
                self.modules.push(bytes);
            }
            Payload::InstanceSection(instances) => {
                self.count(instances.count())?;
                for instance in instances {
                    let index = len(&self.instances);
                    self.list.push(Definition::CoreInstance(index));
                    self.instances.push(instance?);
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                self.count(aliases.count())?;
                let aliases: Vec<_> = aliases.into_iter().collect::<Result<_, _>>()?;
                let is_core = |it: &_| matches!(it, ComponentAlias::CoreInstanceExport { .. });
                if aliases.iter().any(is_core) {
                    for alias in aliases {
                        self.alias(alias)?;
                    }
                } else {
                    // As it stands: what is behind it stays at its offset then.
                    aliases.iter().try_for_each(check_alias)?;
                    self.list.push(Definition::Section(section));
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                self.count(functions.count())?;
                for function in functions {
                    self.canonical(function?);
                }
            }
            Payload::ComponentTypeSection(types) => {
                for defined in types {
                    // A destructor is a core function, told by its index.
                    if let ComponentType::Resource { dtor: Some(_), .. } = defined? {
                        return Err(Unsupported("it has a resource with a destructor"));
                    }
                }
                self.list.push(Definition::Section(section));
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    if let ComponentTypeRef::Module(_) = import?.ty {
                        return Err(SHARED_MODULE);
                    }
                }
                self.list.push(Definition::Section(section));
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    if export?.kind == ComponentExternalKind::Module {
                        return Err(SHARED_MODULE);
                    }
                }
                self.list.push(Definition::Section(section));
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    check_instance(&instance?)?;
                }
                self.list.push(Definition::Section(section));
            }
            // Its names go by the indices that change.
            Payload::CustomSection(custom) if custom.name() == "component-name" => {}
            _ => self.list.push(Definition::Section(section)),
        }
        Ok(())
    }

    fn count(&mut self, more: u32) -> Result<(), Unsupported> {
        self.count = self.count.saturating_add(more);
        match self.count <= MAX_DEFINITIONS {
            true => Ok(()),
            false => Err(Unsupported("it has more parts than are looked at")),
        }
    }

    fn alias(&mut self, alias: ComponentAlias<'a>) -> Result<(), Unsupported> {
        check_alias(&alias)?;
        let ComponentAlias::CoreInstanceExport {
            kind,
            instance_index,
            name,
        } = alias
        else {
            self.list.push(Definition::Alias(alias));
            return Ok(());
        };
        let export = CoreExport {
            kind,
            instance: instance_index,
            name,
        };
        let index = match kind {
            ExternalKind::Func => {
                self.functions.push(Some(export));
                len(&self.functions)
            }
            ExternalKind::Memory => {
                self.memories.push(export);
                len(&self.memories)
            }
            ExternalKind::Table => {
                self.tables.push(export);
                len(&self.tables)
            }
            _ => return Err(Unsupported("its modules share what is not known here")),
        };
        self.list.push(Definition::CoreAlias(export, index - 1));
        Ok(())
    }

    fn canonical(&mut self, function: CanonicalFunction) {
        self.list.push(match function {
            CanonicalFunction::Lift { .. } => Definition::Lifted(function),
            _ => {
                self.functions.push(None);
                Definition::Lowered(function, len(&self.functions) - 1)
            }
        });
    }

    pub(crate) fn modules(&self) -> &[&'a [u8]] {
        &self.modules
    }

    pub(crate) fn module(&self, index: u32) -> Result<&'a [u8], Unsupported> {
        let module = self.modules.get(index as usize);
        module.copied().ok_or(Unsupported("it has no such module"))
    }

    pub(crate) fn instance(&self, index: u32) -> Result<&Instance<'a>, Unsupported> {
        let instance = self.instances.get(index as usize);
        instance.ok_or(Unsupported("it has no such instance"))
    }

    /// The one instance of a module.
    ///
    /// # Errors
    /// Where it has none, or several.
    pub(crate) fn only_instance_of(&self, module: u32) -> Result<u32, Unsupported> {
        let mut instances = (0_u32..).zip(&self.instances).filter(|(_, it)| {
            matches!(it, Instance::Instantiate { module_index, .. } if *module_index == module)
        });
        match (instances.next(), instances.next()) {
            (Some((index, _)), None) => Ok(index),
            _ => Err(Unsupported("one of its modules has not just one instance")),
        }
    }

    /// All core functions: the exports that are named, and None for the others.
    pub(crate) fn functions(&self) -> &[Option<CoreExport<'a>>] {
        &self.functions
    }

    pub(crate) fn memories(&self) -> &[CoreExport<'a>] {
        &self.memories
    }

    pub(crate) fn table(&self, index: u32) -> Option<CoreExport<'a>> {
        self.tables.get(index as usize).copied()
    }
}

/// Refuses to name a module.
fn check_alias(alias: &ComponentAlias<'_>) -> Result<(), Unsupported> {
    match alias {
        ComponentAlias::InstanceExport {
            kind: ComponentExternalKind::Module,
            ..
        }
        | ComponentAlias::Outer {
            kind: ComponentOuterAliasKind::CoreModule,
            ..
        } => Err(SHARED_MODULE),
        _ => Ok(()),
    }
}

/// Refuses to give a module away.
fn check_instance(instance: &ComponentInstance<'_>) -> Result<(), Unsupported> {
    let is_module = |kind| kind == ComponentExternalKind::Module;
    let gives = match instance {
        ComponentInstance::Instantiate { args, .. } => args.iter().any(|it| is_module(it.kind)),
        ComponentInstance::FromExports(exports) => exports.iter().any(|it| is_module(it.kind)),
    };
    match gives {
        true => Err(SHARED_MODULE),
        false => Ok(()),
    }
}

/// How many there are, as an index: each takes a byte of a file at least.
fn len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
