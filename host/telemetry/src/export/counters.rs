//! Counts items that were dropped at a bound, and the outcomes of export.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The outcomes of each signal's items.
#[derive(Clone, Default)]
pub(crate) struct SignalCounts {
    pub(crate) traces: Arc<Exported>,
    pub(crate) metrics: Arc<Exported>,
    pub(crate) logs: Arc<Exported>,
}

/// Items of guests over their bounds, since the process started.
#[derive(Debug, Default)]
pub struct Dropped {
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
    /// Counts spans.
    pub fn spans(&self, count: u64) {
        self.spans.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts attributes.
    pub fn attributes(&self, count: u64) {
        self.attributes.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts events of spans.
    pub fn events(&self, count: u64) {
        self.events.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts links of spans.
    pub fn links(&self, count: u64) {
        self.links.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts log records.
    pub fn log_records(&self, count: u64) {
        self.log_records.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts instruments that were refused.
    pub fn instruments(&self, count: u64) {
        self.instruments.fetch_add(count, Ordering::Relaxed);
    }

    /// Points whose series found no room; they are in the overflow's.
    pub fn series(&self, count: u64) {
        self.series.fetch_add(count, Ordering::Relaxed);
    }

    /// Points of a guest's own that were refused.
    pub fn points(&self, count: u64) {
        self.points.fetch_add(count, Ordering::Relaxed);
    }

    /// The counts by the value of the attribute `item`.
    pub fn read(&self) -> [(&'static str, u64); 8] {
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

/// The outcomes of one signal's exported items.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    exported: AtomicU64,
    paused: AtomicU64,
    queue_full: AtomicU64,
    export_failed: AtomicU64,
    unconfirmed: AtomicU64,
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

    /// Items that were sent and not answered for: the backend may have them.
    pub(crate) fn unconfirmed(&self, count: u64) {
        self.unconfirmed.fetch_add(count, Ordering::Relaxed);
    }

    /// Items that a backend left out of what it took.
    pub(crate) fn rejected(&self, count: u64) {
        self.rejected.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// The losses by the value of the attribute `reason`.
    pub(crate) fn losses(&self) -> [(&'static str, u64); 5] {
        [
            ("paused", self.paused.load(Ordering::Relaxed)),
            ("queue_full", self.queue_full.load(Ordering::Relaxed)),
            ("export_failed", self.export_failed.load(Ordering::Relaxed)),
            ("unconfirmed", self.unconfirmed.load(Ordering::Relaxed)),
            ("rejected", self.rejected.load(Ordering::Relaxed)),
        ]
    }

    /// The outcomes until now, for an account of later items.
    pub(crate) fn account(&self) -> Account {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Account {
            confirmed: read(&self.exported),
            // What pauses has been said, by the line that says so.
            lost: read(&self.queue_full) + read(&self.export_failed) + read(&self.rejected),
            unconfirmed: read(&self.unconfirmed),
        }
    }
}

/// The outcomes of one signal's items at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// A backend said that it took them.
    pub(crate) confirmed: u64,
    /// They were not sent, or refused.
    pub(crate) lost: u64,
    /// They were sent, and not answered for.
    pub(crate) unconfirmed: u64,
}

impl Account {
    /// What was added since `earlier`.
    #[must_use]
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            confirmed: self.confirmed.saturating_sub(earlier.confirmed),
            lost: self.lost.saturating_sub(earlier.lost),
            unconfirmed: self.unconfirmed.saturating_sub(earlier.unconfirmed),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            confirmed,
            lost,
            unconfirmed,
        } = self;
        write!(
            f,
            "{confirmed} confirmed, {lost} lost, {unconfirmed} unconfirmed"
        )
    }
}
