//! The file that `fanlight compile` writes: a component, and the native code that the
//! engine made of it.
//!
//! ```text
//! bytes    what
//! 8        `FANLIGHT`
//! 4        the format's number
//! 4        the length of the header
//! 32       SHA-256 of all that follows
//!          the header, as JSON
//!          the component, as it was
//!          the native code, as the engine writes it
//! ```
//!
//! Digest, metadata, imports and limits are those of the component: only compiling is
//! replaced. The digest finds accidental damage. It proves no origin: a file is
//! trusted because the operator names it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sandbox::load_error::{self, LoadError};

const MAGIC: &[u8; 8] = b"FANLIGHT";
/// Another number is another layout.
const FORMAT: u32 = 1;
/// Where the header begins.
const HEADER_AT: usize = 48;
/// The longest header that is read.
const MAX_HEADER: usize = 4 * 1024;
/// How many times larger than a component its file may be: native code takes some four
/// times as much as the code that it was made of.
const MAX_FACTOR: usize = 16;

/// Whether native code is taken, which runs without a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NativeCode {
    /// The operator has named the file.
    Trusted,
    /// Others may have sent it.
    Refused,
}

/// A file whose parts are as they were written.
pub(crate) struct CompiledFile<'a> {
    pub(crate) header: Header,
    pub(crate) component: &'a [u8],
    pub(crate) code: &'a [u8],
}

/// What compiled the component, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The version of the host.
    pub(crate) fanlight: String,
    /// Processor and system, such as `x86_64-linux`.
    pub(crate) target: String,
    /// Whether imports were to be linked directly.
    pub(crate) direct_imports: bool,
    component_bytes: usize,
}

impl Header {
    /// The header of what this host compiles now.
    pub(crate) fn of_this_host(direct_imports: bool) -> Self {
        Self {
            fanlight: env!("CARGO_PKG_VERSION").to_owned(),
            target: this_target(),
            direct_imports,
            component_bytes: 0,
        }
    }

    /// What compiled it, in words.
    pub(crate) fn compiled_by(&self) -> String {
        load_error::text(format_args!(
            "fanlight {} for {}",
            self.fanlight, self.target
        ))
    }
}

/// The processor and the system of this process.
fn this_target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Whether a file is one of `fanlight compile`, whole or not.
pub(crate) fn is_compiled(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The most bytes of such a file where a component may have `max_bytes`.
pub(crate) fn max_file_bytes(max_bytes: usize) -> usize {
    max_bytes.saturating_mul(MAX_FACTOR)
}

/// The component itself, whichever of both a file is.
pub(crate) fn component_in(bytes: &[u8]) -> &[u8] {
    match CompiledFile::read(bytes) {
        Ok(file) => file.component,
        Err(_) => bytes,
    }
}

impl<'a> CompiledFile<'a> {
    /// Takes a file apart.
    ///
    /// # Errors
    /// Where it is not whole, not as it was written, or of another format.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let format = number(bytes, 8).filter(|_| is_compiled(bytes));
        let format = format.ok_or_else(|| damaged("its beginning is missing"))?;
        if format != FORMAT {
            return Err(LoadError::CompiledElsewhere {
                compiled_by: "another fanlight".to_owned(),
                why: format!("its format is {format}, and this fanlight reads {FORMAT}"),
            });
        }
        let header_bytes = number(bytes, 12).and_then(|it| usize::try_from(it).ok());
        let digest = bytes.get(16..HEADER_AT);
        let content = bytes.get(HEADER_AT..);
        let (Some(header_bytes), Some(digest), Some(content)) = (header_bytes, digest, content)
        else {
            return Err(damaged("its beginning is missing"));
        };
        if Sha256::digest(content)[..] != *digest {
            return Err(damaged("it was cut or changed after it was written"));
        }
        let unreadable = || damaged("its header cannot be read");
        let (header, rest) = content
            .split_at_checked(header_bytes)
            .filter(|(header, _)| header.len() <= MAX_HEADER)
            .ok_or_else(unreadable)?;
        let header: Header = serde_json::from_slice(header).map_err(|_| unreadable())?;
        let parts = rest.split_at_checked(header.component_bytes);
        let (component, code) = parts.ok_or_else(unreadable)?;
        Ok(Self {
            header,
            component,
            code,
        })
    }
}

impl CompiledFile<'_> {
    /// Refuses code for another processor or system, in words that are clearer than the
    /// engine's.
    ///
    /// # Errors
    /// Where it is for another one.
    pub(crate) fn check_target(&self) -> Result<(), LoadError> {
        match self.header.target == this_target() {
            true => Ok(()),
            false => Err(self.elsewhere(format!("this is {}", this_target()))),
        }
    }

    /// The refusal of code that does not run here.
    pub(crate) fn elsewhere(&self, why: String) -> LoadError {
        LoadError::CompiledElsewhere {
            compiled_by: self.header.compiled_by(),
            why,
        }
    }
}

/// Puts a file together.
pub(crate) fn write(header: &Header, component: &[u8], code: &[u8]) -> Vec<u8> {
    let header = Header {
        component_bytes: component.len(),
        ..header.clone()
    };
    // Only maps with other keys than strings fail; this is none.
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let header_bytes = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let mut digest = Sha256::new();
    for part in [&header, component, code] {
        digest.update(part);
    }
    let mut file = Vec::with_capacity(HEADER_AT + header.len() + component.len() + code.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&FORMAT.to_le_bytes());
    file.extend_from_slice(&header_bytes.to_le_bytes());
    file.extend_from_slice(&digest.finalize());
    for part in [&header, component, code] {
        file.extend_from_slice(part);
    }
    file
}

/// The number that stands at an offset.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

fn damaged(why: &str) -> LoadError {
    LoadError::CompiledDamaged(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        write(&Header::of_this_host(true), b"component", b"code")
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let bytes = file();
        let read = CompiledFile::read(&bytes).unwrap();
        assert_eq!(
            (read.component, read.code),
            (&b"component"[..], &b"code"[..])
        );
        assert_eq!(read.header.target, this_target());
        assert_eq!(component_in(&bytes), b"component");
        assert_eq!(component_in(b"\0asm"), b"\0asm");
    }

    #[test]
    fn a_file_that_was_cut_or_changed_anywhere_is_refused() {
        let whole = file();
        for length in 0..whole.len() {
            assert!(CompiledFile::read(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let error = CompiledFile::read(&changed).err().unwrap();
                let is_format = (8..12).contains(&at);
                let expected = match is_format {
                    true => "compiled_elsewhere",
                    false => "compiled_damaged",
                };
                assert_eq!(error.error_type(), expected, "{at}");
            }
        }
        let longer = [&whole[..], b"x"].concat();
        assert!(CompiledFile::read(&longer).is_err());
    }

    #[test]
    fn a_header_that_says_what_cannot_be_is_refused() {
        // Whole by its digest: a file that was made by hand.
        for header in [
            "",
            "{}",
            "[]",
            r#"{"fanlight":"","target":"","direct_imports":true,"component_bytes":99}"#,
        ] {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(FORMAT.to_le_bytes());
            bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
            bytes.extend(Sha256::digest(header.as_bytes()));
            bytes.extend(header.as_bytes());
            let error = CompiledFile::read(&bytes).err().unwrap();
            assert_eq!(error.error_type(), "compiled_damaged", "{header}");
        }
    }
}
