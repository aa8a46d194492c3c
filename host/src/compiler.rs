//! Turns the bytes of a file into a linked component, off the serving path.
//!
//! Compiling happens on threads of its own with the lowest priority: the
//! caller's would do nothing, as the engine compiles in parallel on whatever
//! pool it is called in. Knows no slot and no request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use wasmparser::{ComponentName, KnownCustom, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::direct_imports::link_directly;
use crate::engine::{EngineConfig, TABLES_PER_SLOT};
use crate::load_error::LoadError;
use crate::state::{self, State};

/// The step down from the priority of serving threads: the longest that there
/// is, so that a compile takes what they leave over.
const NICE: i32 = 10;
/// The longest name or version that a component may claim; a longer one is none.
const MAX_CLAIM_BYTES: usize = 64;

/// Compiles and links components, one pool of threads for all of them.
pub(crate) struct Compiler {
    engine: Engine,
    linker: Arc<Linker<State>>,
    threads: rayon::ThreadPool,
    max_bytes: usize,
    max_instances: u32,
    direct_imports: bool,
}

/// A compiled component, before it is linked.
pub(crate) struct Compiled {
    component: Component,
    pub(crate) identity: Identity,
}

/// A component that could be served.
pub(crate) struct Linked {
    pub(crate) pre: ProxyPre<State>,
    pub(crate) identity: Identity,
    /// The places that an instance takes.
    pub(crate) places: u32,
}

/// What tells a component from another.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// `sha256:` and hexadecimal digits, of the file.
    pub(crate) digest: Arc<str>,
    /// What the component's metadata says, or the first 12 digits.
    pub(crate) version: Arc<str>,
    /// What the component's metadata alone says of it.
    pub(crate) claims: Claims,
    /// The file's size.
    pub(crate) bytes: usize,
}

impl Compiler {
    /// Starts the threads and links the host's side once for all components.
    ///
    /// # Errors
    /// Where threads cannot be started, or two interfaces have the same name.
    pub(crate) fn new(engine: Engine, config: &EngineConfig) -> anyhow::Result<Self> {
        let mut linker = Linker::new(&engine);
        state::add_to_linker(&mut linker).map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let threads = rayon::ThreadPoolBuilder::new()
            .thread_name(|n| format!("compile-{n}"))
            .start_handler(|_| {
                // Compiling at a higher priority is still compiling.
                let _ = rustix::process::nice(NICE);
            })
            .build()?;
        Ok(Self {
            engine,
            linker: Arc::new(linker),
            threads,
            max_bytes: config.max_component_bytes,
            max_instances: config.max_instances.get(),
            direct_imports: config.direct_imports,
        })
    }

    /// The largest file that is taken, in bytes.
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Refuses what can be seen to be no component without compiling it.
    ///
    /// # Errors
    /// Where the bytes are too many, no WebAssembly, or a core module.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), LoadError> {
        if bytes.len() > self.max_bytes {
            return Err(LoadError::TooLarge {
                max_bytes: self.max_bytes,
            });
        }
        // The text format is for people; what is served is what was built.
        if !bytes.starts_with(b"\0asm") {
            return Err(LoadError::NotAComponent(match bytes.len() {
                0 => "it is empty".to_owned(),
                _ => "it does not begin with the magic number".to_owned(),
            }));
        }
        // The layer field after the version: 0 is a module, 1 a component.
        if bytes.get(6..8) == Some(&[0, 0]) {
            return Err(LoadError::CoreModule);
        }
        Ok(())
    }

    /// Checks and compiles on the calling thread and the pool's.
    ///
    /// # Errors
    /// Where the bytes are no component that the engine takes.
    pub(crate) fn compile(&self, bytes: &[u8]) -> Result<Compiled, LoadError> {
        self.check(bytes)?;
        self.threads
            .install(|| compile(&self.engine, bytes, self.direct_imports))
    }

    /// Checks and compiles without holding up the caller's thread.
    ///
    /// # Errors
    /// Where the bytes are no component that the engine takes.
    ///
    /// # Cancel safety
    /// Dropped, it lets a compile that has begun go on, for nothing.
    pub(crate) async fn compile_aside(&self, bytes: Bytes) -> Result<Compiled, LoadError> {
        self.check(&bytes)?;
        tracing::debug!(bytes = bytes.len(), "compiling");
        let (engine, direct_imports) = (self.engine.clone(), self.direct_imports);
        let (sender, receiver) = oneshot::channel();
        self.threads.spawn(move || {
            // Whoever asked may be gone by now.
            let _ = sender.send(compile(&engine, &bytes, direct_imports));
        });
        let ended = receiver.await;
        ended.unwrap_or_else(|_| Err(LoadError::NotAComponent("the compiler is gone".to_owned())))
    }

    /// Checks imports and exports, and links.
    ///
    /// # Errors
    /// Where the component imports what is not there, exports no handler, or takes
    /// more room than there is.
    pub(crate) fn link(&self, compiled: Compiled) -> Result<Linked, LoadError> {
        let pre = self
            .linker
            .instantiate_pre(&compiled.component)
            .map_err(|error| LoadError::Imports(format!("{error:#}")))?;
        let pre = ProxyPre::new(pre).map_err(|error| LoadError::Exports(format!("{error:#}")))?;
        let (places, max_instances) = (places(&compiled.component), self.max_instances);
        if places > max_instances {
            return Err(LoadError::TooManyParts {
                places,
                max_instances,
            });
        }
        Ok(Linked {
            pre,
            identity: compiled.identity,
            places,
        })
    }
}

/// The places that an instance takes: a slot of the pool has one memory, and some
/// tables. Components that were joined have a memory each.
fn places(component: &Component) -> u32 {
    // None is one that imports modules, and no host has any.
    component.resources_required().map_or(1, |required| {
        let by_tables = required.num_tables.div_ceil(TABLES_PER_SLOT);
        required.num_memories.max(by_tables).max(1)
    })
}

fn compile(engine: &Engine, bytes: &[u8], direct_imports: bool) -> Result<Compiled, LoadError> {
    // A compiler that panics on what somebody sent must not take the server along.
    let compiled = catch_unwind(AssertUnwindSafe(|| {
        Ok::<_, wasmtime::Error>(Compiled {
            component: match direct_imports {
                true => component(engine, bytes)?,
                false => Component::from_binary(engine, bytes)?,
            },
            identity: Identity::of(bytes),
        })
    }));
    match compiled {
        Ok(compiled) => compiled.map_err(|error| LoadError::NotAComponent(format!("{error:#}"))),
        Err(_) => Err(LoadError::NotAComponent(
            "the compiler panicked on it".to_owned(),
        )),
    }
}

/// Compiles a component with its imports linked directly, where that can be.
fn component(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    let linked = match link_directly(bytes) {
        Ok(linked) => linked,
        Err(stays) => {
            tracing::debug!(%stays, "imports are linked as the component has them");
            return Component::from_binary(engine, bytes);
        }
    };
    tracing::debug!("imports are linked directly");
    Component::from_binary(engine, &linked).or_else(|error| {
        // What is wrong with a component is told of it as it was sent.
        let component = Component::from_binary(engine, bytes)?;
        tracing::warn!(
            error = format!("{error:#}"),
            "imports cannot be linked directly: each request takes longer"
        );
        Ok(component)
    })
}

impl Identity {
    fn of(bytes: &[u8]) -> Self {
        let claims = Claims::read(bytes);
        let digest = digest(bytes);
        let digits = digest.strip_prefix(DIGEST_PREFIX).unwrap_or_default();
        Self {
            version: match &claims.version {
                Some(version) => Arc::clone(version),
                None => digits[..12].into(),
            },
            claims,
            digest: digest.into(),
            bytes: bytes.len(),
        }
    }
}

const DIGEST_PREFIX: &str = "sha256:";

/// The digest by which a component is known: `sha256:` and hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{DIGEST_PREFIX}{digits}")
}

/// What a component says of itself, as `wasm-tools metadata add` writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The name in its name section.
    pub(crate) name: Option<Arc<str>>,
    /// The custom section `version`.
    pub(crate) version: Option<Arc<str>>,
}

impl Claims {
    /// Reads the sections of the component itself, not those of its parts.
    /// What is too long or no plain text is not said.
    fn read(bytes: &[u8]) -> Self {
        let mut claims = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            // What the compiler took is well-formed; what follows a fault is not read.
            let Ok(payload) = payload else { break };
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::CustomSection(section) if depth == 0 => match section.as_known() {
                    KnownCustom::ComponentName(names) => {
                        let named = names.into_iter().flatten().find_map(|name| match name {
                            ComponentName::Component { name, .. } => Some(name),
                            _ => None,
                        });
                        claims.name = claims.name.or(named.and_then(plain));
                    }
                    _ if section.name() == "version" && claims.version.is_none() => {
                        let version = std::str::from_utf8(section.data()).ok();
                        claims.version = version.and_then(plain);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        claims
    }
}

/// A claim that can stand in a header, a log and a resource.
fn plain(claim: &str) -> Option<Arc<str>> {
    let claim = claim.trim();
    let is_plain = !claim.is_empty()
        && claim.len() <= MAX_CLAIM_BYTES
        && claim.chars().all(|c| c.is_ascii_graphic());
    is_plain.then(|| claim.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_whose_linked_form_is_none_is_compiled_as_it_is() {
        // A shim that takes more than it hands on: linked directly the types differ.
        let text = include_str!("direct_imports/tests.wat")
            .replace("(func $name (param i32))", "(func $name (param i32 i32))")
            .replace(
                "(call $name (i32.const 64))",
                "(call $name (i32.const 64) (i32.const 0))",
            )
            .replace(
                "(func (export \"0\") (param i32)",
                "(func (export \"0\") (param i32 i32)",
            );
        let bytes = wat::parse_str(text).unwrap();
        let engine = Engine::default();
        let linked = link_directly(&bytes).unwrap();
        assert!(Component::from_binary(&engine, &linked).is_err());
        assert!(super::component(&engine, &bytes).is_ok());
    }

    /// An empty component, and sections after it.
    fn component(sections: &[&[u8]]) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        sections.iter().for_each(|section| bytes.extend(*section));
        bytes
    }

    fn custom(name: &str, data: &str) -> Vec<u8> {
        let length = 1 + name.len() + data.len();
        let mut section = vec![0, u8::try_from(length).unwrap()];
        section.push(u8::try_from(name.len()).unwrap());
        section.extend(name.as_bytes());
        section.extend(data.as_bytes());
        section
    }

    #[test]
    fn the_version_is_what_the_metadata_says_or_else_of_the_digest() {
        let bytes = component(&[&custom("name", "x"), &custom("version", "1.2.3")]);
        assert_eq!(&*Identity::of(&bytes).version, "1.2.3");
        let bytes = component(&[]);
        let identity = Identity::of(&bytes);
        assert_eq!(identity.digest[7..19], identity.version[..]);
    }

    #[test]
    fn a_version_of_a_part_is_not_the_components() {
        let inner = component(&[&custom("version", "9.9.9")]);
        // Section 4 holds a nested component.
        let mut nested = vec![4, u8::try_from(inner.len()).unwrap()];
        nested.extend(inner);
        let bytes = component(&[&nested]);
        assert_eq!(Claims::read(&bytes).version, None);
        let bytes = component(&[&nested, &custom("version", "1.0.0")]);
        assert_eq!(Claims::read(&bytes).version.as_deref(), Some("1.0.0"));
    }

    #[test]
    fn a_version_that_is_none_is_ignored() {
        for claimed in ["", "two words", "\u{1b}[31m", &"1".repeat(65)] {
            let bytes = component(&[&custom("version", claimed)]);
            assert_eq!(Claims::read(&bytes).version, None, "{claimed:?}");
        }
    }

    #[test]
    fn the_name_is_that_of_the_name_section_alone() {
        // Subsection 0 is the component's own name; others name its parts.
        let named = |name: &str| {
            let length = u8::try_from(name.len()).unwrap();
            let text = format!("\0{}{}{name}", char::from(length + 1), char::from(length));
            custom("component-name", &text)
        };
        let bytes = component(&[&named("shop"), &custom("version", "1")]);
        let claims = Claims::read(&bytes);
        assert_eq!(claims.name.as_deref(), Some("shop"));
        assert_eq!(claims.version.as_deref(), Some("1"));
        for no_name in [&named("two words"), &custom("component-name", "\u{7f}!")] {
            assert_eq!(Claims::read(&component(&[no_name])).name, None);
        }
        assert_eq!(Claims::read(&component(&[])), Claims::default());
    }
}
