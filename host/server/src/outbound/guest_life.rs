//! Whether the guest that makes calls is still there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a guest is still there. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct GuestLife {
    has_ended: Arc<AtomicBool>,
}

impl GuestLife {
    /// Records its end: before its handles are dropped.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}
