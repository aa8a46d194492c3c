//! A component that is offered, and how its bytes are read: never more of them than
//! the limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::component::slot::Source;
use crate::sandbox::compiled_file::{NativeCode, is_compiled, max_file_bytes};
use crate::sandbox::load_error::LoadError;

/// A component that a client or a watched file offers.
#[derive(Clone, Debug)]
pub enum ComponentSource {
    /// What is in a file.
    File(PathBuf),
    /// The bytes of a component.
    Upload(Bytes),
}

impl ComponentSource {
    pub(crate) fn source(&self) -> Source {
        match self {
            Self::File(path) => Source::File(path.clone()),
            Self::Upload(_) => Source::Upload,
        }
    }

    /// Whether native code is taken from it: the operator has named the file.
    pub(crate) fn native_code(&self) -> NativeCode {
        match self {
            Self::File(_) => NativeCode::Trusted,
            Self::Upload(_) => NativeCode::Refused,
        }
    }

    /// Reads its bytes; of a file one more than it may have, where there are more.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(crate) async fn read(self, max_bytes: usize) -> Result<Bytes, LoadError> {
        let path = match self {
            Self::Upload(bytes) => return Ok(bytes),
            Self::File(path) => path,
        };
        let read = tokio::task::spawn_blocking({
            let path = path.clone();
            move || read_file(&path, max_bytes)
        });
        let bytes = match read.await {
            Ok(bytes) => bytes,
            Err(_) => Err(io::ErrorKind::Interrupted.into()),
        };
        bytes.map_err(|source| LoadError::Read { path, source })
    }
}

/// Reads a component's file, one byte further than is taken: then it is known to be
/// larger. One of `fanlight compile` may be larger than the component in it.
///
/// # Errors
/// Where it cannot be read, or is no regular file.
pub fn read_file(path: &Path, max_bytes: usize) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    // A pipe could keep the reader waiting for ever.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let mut beginning = file.by_ref().take(16);
    beginning.read_to_end(&mut bytes)?;
    let max_bytes = match is_compiled(&bytes) {
        true => max_file_bytes(max_bytes),
        false => max_bytes,
    };
    let rest = (max_bytes as u64 + 1).saturating_sub(bytes.len() as u64);
    file.take(rest).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}
