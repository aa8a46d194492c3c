//! Bounds on a guest's own memory and tables.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::config::MemoryBounds;
use crate::request::usage::GuestUsage;

/// Bounds the guest's linear memories, all of them together, and its tables.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    bounds: MemoryBounds,
    bytes: usize,
    /// What the growth that was allowed last added; it may still fail.
    growth: usize,
    /// The most bytes at once, and what that was before the growth.
    peak: usize,
    peak_before: usize,
    usage: Arc<GuestUsage>,
}

impl MemoryLimit {
    pub(crate) fn new(bounds: MemoryBounds, usage: Arc<GuestUsage>) -> Self {
        Self {
            bounds,
            bytes: 0,
            growth: 0,
            peak: 0,
            peak_before: 0,
            usage,
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
        let allowed = bytes <= self.bounds.memory_bytes;
        if allowed {
            self.bytes = bytes;
            self.growth = growth;
            self.peak_before = self.peak;
            self.peak = self.peak.max(bytes);
            self.usage.set_memory_peak(self.peak);
        } else {
            self.usage.set_memory_limit_reached();
        }
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.bytes -= std::mem::take(&mut self.growth);
        self.peak = self.peak_before;
        self.usage.set_memory_peak(self.peak);
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.bounds.table_elements)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::Value;

    use super::*;
    use crate::request::usage::CpuTime;

    fn limit(memory_bytes: usize) -> (MemoryLimit, impl Fn() -> i64) {
        let usage = Arc::new(GuestUsage::new(CpuTime::Unsampled));
        let bounds = MemoryBounds {
            memory_bytes,
            table_elements: 20,
        };
        let limit = MemoryLimit::new(bounds, usage);
        let usage = Arc::clone(&limit.usage);
        let peak = move || match told(&usage, "fanlight.guest.memory.peak") {
            Some(Value::I64(bytes)) => bytes,
            _ => 0,
        };
        (limit, peak)
    }

    fn told(usage: &GuestUsage, key: &str) -> Option<Value> {
        let mut attributes = Vec::new();
        usage.add_to(&mut attributes);
        let attribute = attributes.into_iter().find(|it| it.key.as_str() == key);
        attribute.map(|it| it.value)
    }

    #[test]
    fn each_table_grows_up_to_its_bound() {
        let (mut limit, _) = limit(100);
        for _ in 0..2 {
            assert!(limit.table_growing(0, 20, None).unwrap());
            assert!(!limit.table_growing(20, 21, None).unwrap());
        }
    }

    #[test]
    fn several_memories_share_one_bound_and_have_one_peak() {
        let (mut limit, peak) = limit(100);
        assert_eq!(peak(), 0);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        let is_reached = |limit: &MemoryLimit| {
            let told = told(&limit.usage, "fanlight.memory.limit_reached");
            told == Some(Value::Bool(true))
        };
        assert!(!is_reached(&limit));
        assert!(!limit.memory_growing(0, 60, None).unwrap());
        assert!(is_reached(&limit));
        assert_eq!(peak(), 60);
        assert!(limit.memory_growing(0, 40, None).unwrap());
        assert!(!limit.memory_growing(60, 61, None).unwrap());
        assert_eq!(peak(), 100);
    }

    #[test]
    fn a_growth_that_failed_is_given_back_and_was_no_peak() {
        let (mut limit, peak) = limit(100);
        assert!(limit.memory_growing(0, 10, None).unwrap());
        assert!(limit.memory_growing(10, 90, None).unwrap());
        limit
            .memory_grow_failed(wasmtime::format_err!("no memory"))
            .unwrap();
        assert_eq!(peak(), 10);
        assert!(limit.memory_growing(10, 100, None).unwrap());
        assert_eq!(peak(), 100);
    }
}
