//! A component's identity: its digest, and its own metadata.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmparser::{ComponentName, Global, KnownCustom, Operator, Parser, Payload, ValType};

/// The longest name or version that a component may claim; a longer one is none.
const MAX_CLAIM_BYTES: usize = 64;

/// What tells a component from another.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// `sha256:` and hexadecimal digits, of the file.
    pub(crate) digest: Arc<str>,
    /// What the component's metadata says, or the first 12 digits.
    pub(crate) version: Arc<str>,
    /// The component's metadata.
    pub(crate) claims: Claims,
    /// The file's size.
    pub(crate) bytes: usize,
}

impl Identity {
    pub(crate) fn of(bytes: &[u8]) -> Self {
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

/// A component's metadata, as `wasm-tools metadata add` writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The name in its name section.
    pub(crate) name: Option<Arc<str>>,
    /// The custom section `version`.
    pub(crate) version: Option<Arc<str>>,
    /// The size of its stack, in bytes, as LLVM lays one out: the value that the first
    /// global of a module, its stack pointer, begins with. The largest of its modules.
    pub(crate) stack_bytes: u32,
}

impl Claims {
    /// Reads the sections of the component itself, and of its parts the stacks alone.
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
                Payload::GlobalSection(globals) => {
                    let first = globals.into_iter().next().and_then(Result::ok);
                    let stack = first.as_ref().and_then(stack_pointer).unwrap_or_default();
                    claims.stack_bytes = claims.stack_bytes.max(stack);
                }
                _ => {}
            }
        }
        claims
    }
}

/// The value that a global begins with, if it can be a stack pointer.
fn stack_pointer(global: &Global<'_>) -> Option<u32> {
    let is_one = global.ty.mutable && global.ty.content_type == ValType::I32;
    let mut begins = global.init_expr.get_operators_reader();
    match begins.read() {
        Ok(Operator::I32Const { value }) if is_one => u32::try_from(value).ok(),
        _ => None,
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
    fn the_stack_is_what_the_first_global_begins_with() {
        let stack = |module: &str| {
            let text = format!("(component (core module {module}))");
            Claims::read(&wat::parse_str(text).unwrap()).stack_bytes
        };
        let global = "(global (mut i32) (i32.const 1048576))";
        assert_eq!(stack(global), 1024 * 1024);
        assert_eq!(stack(&format!("(global i32 (i32.const 7)) {global}")), 0);
        for other in [
            "",
            "(global (mut i64) (i64.const 7))",
            "(global (mut i32) (i32.const -1))",
        ] {
            assert_eq!(stack(other), 0, "{other}");
        }
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
