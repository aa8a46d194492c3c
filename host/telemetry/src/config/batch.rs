//! How spans and log records are gathered before they are sent: `OTEL_BSP_*` and
//! `OTEL_BLRP_*`.

use std::time::Duration;

use crate::config::env::Env;

/// How items are gathered before they are sent.
#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    /// The longest time that an item waits for others.
    pub schedule_delay: Duration,
    /// The most items in one export; bounded in bytes alone by default.
    pub max_batch: usize,
    /// The most items that wait or are under way; bounded in bytes alone by default.
    pub max_items: usize,
    /// The most bytes that wait or are under way: of spans the memory that they
    /// take, of log records an estimate of it.
    pub max_bytes: usize,
    /// How long one export may take.
    pub export_timeout: Duration,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            // The specification says 5 s for spans; a developer who has just
            // sent a request is looking for its trace already.
            schedule_delay: Duration::from_secs(1),
            // The specification's 512 are a hundredth of a second at full speed:
            // few large requests cost sender and backend less.
            max_batch: usize::MAX,
            max_items: usize::MAX,
            max_bytes: 32 * 1024 * 1024,
            // The specification's 30 s; the exporter's own 10 s come first.
            export_timeout: Duration::from_secs(30),
        }
    }
}

impl BatchConfig {
    /// Reads the variables of a processor, `BSP` or `BLRP`.
    pub(crate) fn read(env: &mut Env, processor: &str) -> Self {
        let defaults = Self::default();
        let queue = env.positive(&format!("OTEL_{processor}_MAX_QUEUE_SIZE"));
        let name = format!("OTEL_{processor}_MAX_EXPORT_BATCH_SIZE");
        let batch = env.positive(&name);
        let max_items = queue.unwrap_or(defaults.max_items);
        if let Some(batch) = batch.filter(|batch| *batch > max_items) {
            env.warn(
                &name,
                &batch.to_string(),
                "more than the queue holds; that is used",
            );
        }
        let schedule_delay = env.millis(&format!("OTEL_{processor}_SCHEDULE_DELAY"));
        let export_timeout = env.timeout(&format!("OTEL_{processor}_EXPORT_TIMEOUT"));
        Self {
            schedule_delay: schedule_delay.unwrap_or(defaults.schedule_delay),
            max_batch: batch.unwrap_or(defaults.max_batch).min(max_items),
            max_items,
            max_bytes: defaults.max_bytes,
            export_timeout: export_timeout.unwrap_or(defaults.export_timeout),
        }
    }
}
