//! Bounds on a guest's own memory and tables.

use wasmtime::ResourceLimiter;

/// The most elements of one table. The pool's own default; where instances are
/// allocated on demand there would be no other bound.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 20_000;

/// Bounds the guest's linear memories, all of them together, and remembers that
/// the bound was reached.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    max_bytes: usize,
    bytes: usize,
    /// What the growth that was allowed last added; it may still fail.
    growth: usize,
    pub(crate) reached: bool,
}

impl MemoryLimit {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            bytes: 0,
            growth: 0,
            reached: false,
        }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let bytes = self.bytes.saturating_add(growth);
        let allowed = bytes <= self.max_bytes;
        if allowed {
            self.bytes = bytes;
            self.growth = growth;
        }
        self.reached |= !allowed;
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.bytes -= std::mem::take(&mut self.growth);
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memories_share_one_bound() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.reached);
        assert!(limit.memory_growing(0, 40, None).unwrap());
        assert!(!limit.memory_growing(60, 61, None).unwrap());
    }

    #[test]
    fn a_growth_that_failed_is_given_back() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 90, None).unwrap());
        limit
            .memory_grow_failed(wasmtime::format_err!("no memory"))
            .unwrap();
        assert!(limit.memory_growing(0, 100, None).unwrap());
    }
}
