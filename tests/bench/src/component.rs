//! What the servers under test serve, made from the example `faults`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;

/// What `/version` answers as it was built, and as it is in version two.
const VERSION_ONE: &[u8] = b"version-of-faults-0000";
const VERSION_TWO: &[u8] = b"version-of-faults-0001";
/// The ids of sections in a component's binary form.
const CUSTOM_SECTION: u8 = 0;
const CORE_MODULE_SECTION: u8 = 1;

/// The components.
pub struct Guests {
    path: PathBuf,
    one: Bytes,
    two: Bytes,
}

impl Guests {
    /// Reads the example `faults`, and makes its second version.
    ///
    /// # Errors
    /// Where the file cannot be read, or is not the example.
    pub fn read(faults: &Path) -> anyhow::Result<Self> {
        let one =
            std::fs::read(faults).with_context(|| format!("cannot read {}", faults.display()))?;
        let two = replaced(&one, VERSION_ONE, VERSION_TWO)
            .context("the component does not say which version it is")?;
        Ok(Self {
            path: faults.to_owned(),
            one: one.into(),
            two: two.into(),
        })
    }

    /// The file of version one.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn one(&self) -> Bytes {
        self.one.clone()
    }

    pub(crate) fn two(&self) -> Bytes {
        self.two.clone()
    }

    /// As many files, each of version one with some MB of code that nobody calls.
    pub(crate) fn large(&self, count: u32) -> anyhow::Result<Vec<Bytes>> {
        let module = wat::parse_str(many_functions(6_000))?;
        let made = (0..count).map(|number| {
            let mut component = self.one.to_vec();
            section(&mut component, CORE_MODULE_SECTION, &module);
            // A custom section is a name with its length, and whatever follows.
            let mut name = vec![6];
            name.extend(b"number");
            name.extend(number.to_le_bytes());
            section(&mut component, CUSTOM_SECTION, &name);
            Bytes::from(component)
        });
        Ok(made.collect())
    }

    /// Files that nobody can serve: no WebAssembly, cut short, a module, an
    /// import that nobody has, no export.
    pub(crate) fn bad(&self) -> anyhow::Result<Vec<Bytes>> {
        let unknown = r#"(component (import "shop:prices/list@1.0.0" (instance
            (export "all" (func)))))"#;
        Ok(vec![
            Bytes::from_static(b"hello, world"),
            self.one.slice(..self.one.len() / 2),
            wat::parse_str("(module)")?.into(),
            wat::parse_str(unknown)?.into(),
            wat::parse_str("(component)")?.into(),
        ])
    }
}

/// Replaces the one place where `from` stands by as many bytes.
pub(crate) fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let mut places = bytes.windows(from.len()).enumerate();
    let (at, _) = places.find(|(_, window)| *window == from)?;
    if places.any(|(_, window)| window == from) {
        return None;
    }
    let mut replaced = bytes.to_vec();
    replaced[at..at + from.len()].copy_from_slice(to);
    Some(replaced)
}

/// Appends a section: its id, its length in LEB128, its content.
fn section(component: &mut Vec<u8>, id: u8, content: &[u8]) {
    component.push(id);
    let mut length = content.len();
    while length >= 0x80 {
        component.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    component.push(length as u8);
    component.extend(content);
}

/// A module whose functions are all different, with loops and calls, so that
/// the compiler has something to do.
fn many_functions(count: u32) -> String {
    let mut text = String::from("(module (memory 1)\n");
    for function in 0..count {
        let called = function / 2;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "(func (param i32 i64) (result i64) (local i64) (loop \
             local.get 1 i64.const {function} i64.mul local.set 2"
        );
        for step in 0..24 {
            let _ = writeln!(
                text,
                "local.get 0 i64.load offset={} local.get 2 i64.xor i64.const {} i64.rotl \
                 local.get 1 i64.add local.tee 2 local.get 0 i64.extend_i32_u i64.sub local.set 1 \
                 local.get 0 local.get 2 i64.store offset={}",
                step * 8,
                (function + step) % 63 + 1,
                step * 16,
            );
        }
        let _ = writeln!(
            text,
            "local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0) local.get 0 local.get 2 call {called})"
        );
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::{many_functions, replaced, section};

    #[test]
    fn only_the_one_place_is_replaced() {
        assert_eq!(replaced(b"a one b", b"one", b"two").unwrap(), b"a two b");
        assert!(replaced(b"a", b"one", b"two").is_none());
        assert!(replaced(b"one one", b"one", b"two").is_none());
    }

    #[test]
    fn a_section_is_its_id_its_length_and_its_content() {
        let mut bytes = Vec::new();
        section(&mut bytes, 1, &[7; 300]);
        assert_eq!(bytes[..4], [1, 0xac, 0x02, 7]);
        assert_eq!(bytes.len(), 303);
    }

    #[test]
    fn the_functions_are_a_module() {
        assert!(wat::parse_str(many_functions(3)).is_ok());
    }
}
