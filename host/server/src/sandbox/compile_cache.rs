//! The cache of compiled code on disk.
//!
//! The engine reads and writes it, and keeps to itself that it cannot write. Here that
//! is noticed and logged once, and what was written in half is removed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use wasmtime::{Cache, CacheConfig};

/// What the engine's cache puts into the name of a file until it is whole.
const HALF_WRITTEN: &str = ".wip-atomic-write-";
/// The age of a file that another process does not write any more.
const ABANDONED: Duration = Duration::from_secs(60);

/// The cache, and whether it was said that it cannot be written.
#[derive(Debug)]
pub(crate) struct CompileCache {
    cache: Cache,
    directory: PathBuf,
    is_reported: AtomicBool,
}

impl CompileCache {
    /// Opens the one in `directory`. Serving goes on without one.
    pub(crate) fn open(directory: PathBuf) -> Option<Self> {
        let mut config = CacheConfig::new();
        config.with_directory(&directory);
        match Cache::new(config) {
            Ok(cache) => {
                remove_half_written(&directory, ABANDONED);
                Some(Self {
                    cache,
                    directory,
                    is_reported: AtomicBool::new(false),
                })
            }
            Err(error) => {
                tracing::warn!(
                    directory = %directory.display(),
                    error = format!("{error:#}"),
                    "no compile cache: each start compiles the component anew"
                );
                None
            }
        }
    }

    /// What the engine is configured with.
    pub(crate) fn cache(&self) -> Cache {
        self.cache.clone()
    }

    /// Compiles, and checks that the cache had the code or has it now.
    pub(crate) fn checked<T, E>(&self, compile: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let before = self.uses();
        let compiled = compile()?;
        if self.uses() == before {
            self.report();
            // There may be room for it another time, where a file of the same name
            // would be in the way.
            remove_half_written(&self.directory, Duration::ZERO);
        }
        Ok(compiled)
    }

    /// How often code was read or written. What cannot be written is not counted.
    fn uses(&self) -> usize {
        self.cache.cache_hits() + self.cache.cache_misses()
    }

    fn report(&self) {
        if self.is_reported.swap(true, Ordering::Relaxed) {
            return;
        }
        let error = match why_not_writable(&self.directory) {
            Some(error) => error.to_string(),
            // There is some room, and not enough.
            None => "the file system may be full".to_owned(),
        };
        tracing::warn!(
            directory = %self.directory.display(),
            error,
            "compiled code cannot be kept: each start compiles the component anew"
        );
    }
}

/// Tries to write a file, for the engine does not tell what was wrong.
fn why_not_writable(directory: &Path) -> Option<std::io::Error> {
    let file = directory.join(format!("writable{HALF_WRITTEN}{}", std::process::id()));
    let written = std::fs::write(&file, [0; 16 * 1024]);
    let _ = std::fs::remove_file(&file);
    written.err()
}

/// Removes what was written in half and is as old. The engine removes it only in some
/// later hour, and does not write the same code meanwhile.
fn remove_half_written(directory: &Path, age: Duration) {
    let now = SystemTime::now();
    let Ok(compilers) = std::fs::read_dir(directory.join("modules")) else {
        return;
    };
    let files = compilers.flatten().filter_map(|compiler| {
        // One folder for each version of the engine.
        std::fs::read_dir(compiler.path()).ok()
    });
    for file in files.flatten().flatten() {
        let is_half_written = file.file_name().to_string_lossy().contains(HALF_WRITTEN);
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|modified| {
            // One from the future is no older than now.
            now.duration_since(modified).unwrap_or_default() >= age
        });
        if is_half_written && is_old {
            // Another process may have removed it.
            let _ = std::fs::remove_file(file.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_in_half_goes_when_it_is_abandoned() {
        let name = format!("fanlight-half-written-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let compiled = directory.join("modules").join("engine-48");
        std::fs::create_dir_all(&compiled).unwrap();
        let whole = compiled.join("whole");
        let half = compiled.join("half.wip-atomic-write-mod");
        for file in [&whole, &half] {
            std::fs::write(file, "code").unwrap();
        }
        remove_half_written(&directory, ABANDONED);
        assert!(half.exists(), "another process may be writing it");
        let old = SystemTime::now() - 2 * ABANDONED;
        for file in [&whole, &half] {
            let file = std::fs::File::options().append(true).open(file).unwrap();
            file.set_modified(old).unwrap();
        }
        remove_half_written(&directory, ABANDONED);
        assert!(whole.exists() && !half.exists());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
