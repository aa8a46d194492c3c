//! What the system knows of a process: the processor time and the memory that
//! it took.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// The processor time of each thread, read at one moment.
///
/// By thread and in nanoseconds, from `/proc/PID/task/*/schedstat`: what
/// `/proc/PID/stat` has for the whole process comes in ticks of 10 ms, which is
/// a tenth of what some rounds take.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuTime(BTreeMap<u32, Duration>);

impl CpuTime {
    /// Reads it.
    ///
    /// # Errors
    /// Where the process is gone, or the kernel keeps no such account.
    pub(crate) fn of(process: u32) -> anyhow::Result<Self> {
        let threads = format!("/proc/{process}/task");
        let threads = std::fs::read_dir(&threads).with_context(|| format!("no {threads}"))?;
        let mut times = BTreeMap::new();
        for thread in threads {
            let thread = thread?;
            // One may end while it is looked at.
            let Ok(text) = std::fs::read_to_string(thread.path().join("schedstat")) else {
                continue;
            };
            let id = thread.file_name().to_string_lossy().parse()?;
            times.insert(id, on_processor(&text)?);
        }
        anyhow::ensure!(!times.is_empty(), "no threads are told of");
        Ok(Self(times))
    }

    /// What the threads that are still there took since then. A thread that has
    /// ended in between is left out: servers end none that matters.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let took = self.0.iter().map(|(thread, now)| {
            let before = earlier.0.get(thread).copied().unwrap_or_default();
            now.saturating_sub(before)
        });
        took.sum()
    }
}

/// The first of its numbers: nanoseconds on a processor.
fn on_processor(schedstat: &str) -> anyhow::Result<Duration> {
    let first = schedstat.split_whitespace().next();
    Ok(Duration::from_nanos(
        first.context("an empty schedstat")?.parse()?,
    ))
}

/// A line of `/proc/PID/status` that is a size (`VmRSS:`, `VmHWM:`), in bytes.
///
/// # Errors
/// Where the process is gone, or has no such line.
pub(crate) fn status_bytes(process: u32, name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.with_context(|| format!("no {name}"))?.trim().parse()?;
    Ok(kib * 1024)
}

/// What was measured on: the processor, how many of it, the kernel.
pub(crate) fn machine() -> BTreeMap<&'static str, String> {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    BTreeMap::from([
        ("processor", model.unwrap_or_else(|| "unknown".to_owned())),
        ("processors", processors.to_string()),
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{CpuTime, on_processor, status_bytes};

    #[test]
    fn threads_that_came_count_whole_and_those_that_went_not_at_all() {
        let seconds = Duration::from_secs;
        let before = CpuTime(BTreeMap::from([(1, seconds(5)), (2, seconds(9))]));
        let after = CpuTime(BTreeMap::from([(1, seconds(6)), (3, seconds(2))]));
        assert_eq!(after.since(&before), seconds(3));
    }

    #[test]
    fn work_of_this_process_is_seen() {
        let before = CpuTime::of(std::process::id()).unwrap();
        let mut product = 1u64;
        while CpuTime::of(std::process::id()).unwrap().since(&before) < Duration::from_millis(2) {
            product = std::hint::black_box(product.wrapping_mul(3));
        }
        assert_ne!(product, 0);
    }

    #[test]
    fn the_first_number_is_the_time() {
        let time = on_processor("59391 12 3\n").unwrap();
        assert_eq!(time, Duration::from_nanos(59_391));
        assert!(on_processor("").is_err());
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert!(status_bytes(std::process::id(), "VmRSS:").unwrap() > 64 * 1024);
        assert!(status_bytes(std::process::id(), "VmNothing:").is_err());
    }
}
