//! Counts what was not kept: items over a bound, and items that never left.

use std::sync::atomic::{AtomicU64, Ordering};

/// What guests said over their bounds, since the process began.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    spans: AtomicU64,
    attributes: AtomicU64,
    events: AtomicU64,
    links: AtomicU64,
    log_records: AtomicU64,
    instruments: AtomicU64,
    series: AtomicU64,
    points: AtomicU64,
}

impl Dropped {
    pub(crate) fn spans(&self, count: u64) {
        self.spans.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn attributes(&self, count: u64) {
        self.attributes.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn events(&self, count: u64) {
        self.events.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn links(&self, count: u64) {
        self.links.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn log_records(&self, count: u64) {
        self.log_records.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn instruments(&self, count: u64) {
        self.instruments.fetch_add(count, Ordering::Relaxed);
    }

    /// Points whose series found no room; they are in the overflow's.
    pub(crate) fn series(&self, count: u64) {
        self.series.fetch_add(count, Ordering::Relaxed);
    }

    /// Points of a guest's own that were refused.
    pub(crate) fn points(&self, count: u64) {
        self.points.fetch_add(count, Ordering::Relaxed);
    }

    /// The counts by the value of the attribute `item`.
    pub(crate) fn read(&self) -> [(&'static str, u64); 8] {
        [
            ("span", self.spans.load(Ordering::Relaxed)),
            ("attribute", self.attributes.load(Ordering::Relaxed)),
            ("event", self.events.load(Ordering::Relaxed)),
            ("link", self.links.load(Ordering::Relaxed)),
            ("log_record", self.log_records.load(Ordering::Relaxed)),
            ("instrument", self.instruments.load(Ordering::Relaxed)),
            ("series", self.series.load(Ordering::Relaxed)),
            ("point", self.points.load(Ordering::Relaxed)),
        ]
    }
}

/// What became of one signal's items on their way out.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    exported: AtomicU64,
    paused: AtomicU64,
    queue_full: AtomicU64,
    export_failed: AtomicU64,
    rejected: AtomicU64,
}

impl Exported {
    pub(crate) fn exported(&self, count: u64) {
        self.exported.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn paused(&self, count: u64) {
        self.paused.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn queue_full(&self, count: u64) {
        self.queue_full.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn export_failed(&self, count: u64) {
        self.export_failed.fetch_add(count, Ordering::Relaxed);
    }

    /// Items that a backend left out of what it took.
    pub(crate) fn rejected(&self, count: u64) {
        self.rejected.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// The losses by the value of the attribute `reason`.
    pub(crate) fn losses(&self) -> [(&'static str, u64); 4] {
        [
            ("paused", self.paused.load(Ordering::Relaxed)),
            ("queue_full", self.queue_full.load(Ordering::Relaxed)),
            ("export_failed", self.export_failed.load(Ordering::Relaxed)),
            ("rejected", self.rejected.load(Ordering::Relaxed)),
        ]
    }
}
