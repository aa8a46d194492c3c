//! Files that a client uploads to be served.

use std::num::NonZeroU32;
use std::sync::OnceLock;

use crate::sandbox::compiled_file::NativeCode;
use crate::sandbox::compiler::Compiler;
use crate::sandbox::engine::{EngineConfig, TickingEngine};
use crate::sandbox::inspector::Inspector;
use crate::sandbox::load_error::LoadError;

/// A file that a client uploads: the host loads it with its digest, or refuses it
/// with a reason that can be shown. An inspection refuses nothing that the host loads.
pub fn admin_upload(data: &[u8]) {
    let compiler = &uploads().compiler;
    let foreseen = match uploads().inspector.inspect(data) {
        Ok(inspected) => inspected.refusal,
        Err(refusal) => Some(refusal),
    };
    match compiler
        .compile(data, NativeCode::Refused)
        .and_then(|it| compiler.link(it))
    {
        Ok(linked) => {
            assert!(foreseen.is_none(), "{foreseen:?}");
            assert!(data.len() <= MAX_UPLOAD_BYTES);
            assert!(data.starts_with(b"\0asm\x0d\0\x01\0"));
            let identity = linked.identity;
            let Some(digits) = identity.digest.strip_prefix("sha256:") else {
                unreachable!("{} is no digest", identity.digest);
            };
            assert_eq!(digits.len(), 64);
            assert_eq!(identity.bytes, data.len());
            // It stands in headers, logs and labels.
            let version = &*identity.version;
            assert!((1..=64).contains(&version.len()), "{version:?}");
            assert!(
                version.bytes().all(|it| it.is_ascii_graphic()),
                "{version:?}"
            );
        }
        Err(LoadError::Read { .. } | LoadError::Instantiate(_) | LoadError::Probe { .. }) => {
            unreachable!("none of it is done")
        }
        Err(error) => {
            let reason = error.reason();
            assert!(
                !reason.is_empty() && !reason.contains("panicked"),
                "{reason}"
            );
            // It quotes names from the file, never much more than there is.
            assert!(reason.len() <= 16 * 1024 + data.len() * 8, "{reason}");
        }
    }
}

/// Larger than the inputs, so that what is checked is not the size.
const MAX_UPLOAD_BYTES: usize = 64 * 1024;

/// What takes uploads, with a pool of one: nothing here is instantiated.
struct Uploads {
    compiler: Compiler,
    inspector: Inspector,
    _engine: TickingEngine,
}

fn uploads() -> &'static Uploads {
    static UPLOADS: OnceLock<Uploads> = OnceLock::new();
    UPLOADS.get_or_init(|| {
        let config = EngineConfig {
            max_instances: NonZeroU32::MIN,
            max_memory_bytes: 64 * 1024 * 1024,
            max_table_elements: 20_000,
            max_component_bytes: MAX_UPLOAD_BYTES,
            direct_imports: true,
            grants_calls: false,
            cache_dir: None,
        };
        let made = TickingEngine::new(&config).and_then(|engine| {
            Ok(Uploads {
                compiler: Compiler::new(&engine, &config)?,
                inspector: Inspector::new(&config)?,
                _engine: engine,
            })
        });
        match made {
            Ok(uploads) => uploads,
            Err(error) => unreachable!("no engine: {error:#}"),
        }
    })
}
