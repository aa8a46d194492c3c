//! What the pages show of the host, and the trait by which the host supplies it.

use std::time::SystemTime;

/// Supplies what the pages *Metrics* and *Component* show. Called where a page is
/// rendered, on a thread for blocking work; it answers at once, from memory.
pub trait HostStatus: Send + Sync + 'static {
    /// The served component, and what is known of its swaps.
    fn component(&self) -> ComponentStatus;

    /// Counts and instruments as they stand now. Only the metrics page asks for them.
    fn metrics(&self) -> MetricsStatus;

    /// Where the host takes requests, such as `http://127.0.0.1:8000`; pages that have
    /// nothing to show yet say how to send one.
    fn serving_url(&self) -> String;
}

/// The served component, and what is known of its swaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentStatus {
    /// What is served.
    pub current: Option<ComponentVersion>,
    /// What a rollback returns to.
    pub previous: Option<ComponentVersion>,
    /// Swaps, rollbacks and refusals; the newest first.
    pub history: Vec<SwapRecord>,
    /// The most bytes of an upload.
    pub max_upload_bytes: u64,
}

/// A version of the component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentVersion {
    /// Its name, from the component's metadata or its digest.
    pub version: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// 1 for the one that the host started with.
    pub generation: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Where it came from, such as a path or `upload`.
    pub source: String,
    /// When it was swapped in.
    pub loaded_at: SystemTime,
    /// Requests that run on it.
    pub in_flight: u64,
    /// What it imports.
    pub imports: Vec<Import>,
}

/// An interface that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Such as `wasi:http/types@0.2.12`.
    pub name: String,
    /// What the host makes of it.
    pub access: Access,
}

/// What the host makes of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its functions do what they say.
    Granted,
    /// It is linked, and its functions fail.
    Denied,
}

/// A swap that was made or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapRecord {
    /// When it ended.
    pub at: SystemTime,
    /// How it ended.
    pub outcome: SwapOutcome,
    /// The version that was offered, where it is known.
    pub version: String,
    /// The generation that it became.
    pub generation: Option<u64>,
    /// Where it came from.
    pub source: String,
    /// Why it was refused.
    pub reason: Option<String>,
    /// The id of the swap's trace, as 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

/// How a swap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapOutcome {
    /// It is served, or was.
    Swapped,
    /// The same component is served already.
    Unchanged,
    /// The component before it is served again.
    RolledBack,
    /// The old component goes on.
    Refused,
    /// A newer one came before it was served.
    Superseded,
}

/// Counts and instruments as they stand now; counts are those since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsStatus {
    /// Requests that ended.
    pub requests: u64,
    /// Requests among them that failed.
    pub errors: u64,
    /// Requests that run.
    pub active: u64,
    /// Durations of requests, in seconds.
    pub duration: Histogram,
    /// Instances that run.
    pub instances: u64,
    /// The most instances.
    pub max_instances: u64,
    /// Requests that wait for an instance.
    pub waiting: u64,
    /// Memory of the host's process, in bytes; 0 where it is not known.
    pub resident_bytes: u64,
    /// The instruments of the host and of the component.
    pub instruments: Vec<Instrument>,
}

/// Counts between bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds, the last of which is not infinite.
    pub bounds: Vec<f64>,
    /// One count more than there are bounds.
    pub counts: Vec<u64>,
    /// Of all values.
    pub sum: f64,
}

/// An instrument.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    /// Such as `http.server.request.duration`.
    pub name: String,
    /// Such as `s`.
    pub unit: String,
    /// What it measures.
    pub description: String,
    /// Such as `counter`.
    pub kind: String,
    /// Whether the component made it, and not the host.
    pub is_guests: bool,
    /// One for each set of attributes.
    pub points: Vec<Point>,
}

/// The value of an instrument for one set of attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Keys and values.
    pub attributes: Vec<(String, String)>,
    /// What was measured.
    pub value: PointValue,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// A sum or a last value.
    Number(f64),
    /// A distribution.
    Histogram(Histogram),
}

impl Histogram {
    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The value below which this share of the values is, about: within its bucket the
    /// values are taken to be spread evenly. `None` without values.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = share * count as f64;
        let mut below = 0.0;
        for (at, in_bucket) in self.counts.iter().enumerate() {
            let in_bucket = *in_bucket as f64;
            if in_bucket > 0.0 && below + in_bucket >= wanted {
                let lower = at.checked_sub(1).and_then(|it| self.bounds.get(it));
                let lower = lower.copied().unwrap_or(0.0);
                let upper = self.bounds.get(at).copied().unwrap_or(lower);
                return Some(lower + (upper - lower) * ((wanted - below) / in_bucket));
            }
            below += in_bucket;
        }
        self.bounds.last().copied()
    }

    /// What was counted since `before`, which is of the same instrument.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        if self.bounds != before.bounds || self.counts.len() != before.counts.len() {
            return self.clone();
        }
        let counts = self.counts.iter().zip(&before.counts);
        Self {
            bounds: self.bounds.clone(),
            counts: counts
                .map(|(now, then)| now.saturating_sub(*then))
                .collect(),
            sum: self.sum - before.sum,
        }
    }
}
