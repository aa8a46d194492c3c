//! What guests take: the time to make an instance, the time that it is busy,
//! its memory.
//!
//! Measured by the host where it enters and leaves a guest, however that ends.
//! One guest writes at a time; its request's span and the metrics read.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};
use opentelemetry::trace::SpanId;
use rustix::time::{ClockId, clock_gettime};

/// The bounds of a guest's times, in seconds: an instance takes some ten
/// microseconds, a guest that computes up to its deadline.
const TIME_BOUNDS: [f64; 19] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];
/// The bounds of a guest's memory, in bytes: from a page of WebAssembly to all
/// that 32 bits can address.
const MEMORY_BOUNDS: [f64; 17] = [
    65_536.0,
    131_072.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
    33_554_432.0,
    67_108_864.0,
    134_217_728.0,
    268_435_456.0,
    536_870_912.0,
    1_073_741_824.0,
    2_147_483_648.0,
    4_294_967_296.0,
];

/// What one guest has taken so far.
#[derive(Debug)]
pub(crate) struct GuestUsage {
    cpu_time: CpuTime,
    instantiate: OnceLock<Duration>,
    busy_nanos: AtomicU64,
    cpu_nanos: AtomicU64,
    memory_peak_bytes: AtomicU64,
    memory_limit_reached: AtomicBool,
    spans_dropped: AtomicU64,
}

/// Whether a guest's processor time is measured: reading that clock is a system
/// call and takes 0.8 µs, where the monotonic one takes 0.03.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CpuTime {
    /// It is one of those that are.
    Sampled,
    /// It is not, and costs nothing.
    Unsampled,
}

impl GuestUsage {
    pub(crate) fn new(cpu_time: CpuTime) -> Self {
        Self {
            cpu_time,
            instantiate: OnceLock::new(),
            busy_nanos: AtomicU64::new(0),
            cpu_nanos: AtomicU64::new(0),
            memory_peak_bytes: AtomicU64::new(0),
            memory_limit_reached: AtomicBool::new(false),
            spans_dropped: AtomicU64::new(0),
        }
    }

    /// Records that the instance is made, which was begun at `begun`.
    pub(crate) fn instantiated(&self, begun: Instant) {
        // There is one instance; were there another, the first counts.
        let _ = self.instantiate.set(begun.elapsed());
    }

    /// Measures the time from entering the guest to leaving it. A thread that
    /// is taken away meanwhile makes it longer, and its processor time not.
    pub(crate) fn measured<T>(&self, enter: impl FnOnce() -> T) -> T {
        let cpu = (self.cpu_time == CpuTime::Sampled).then(thread_cpu_time);
        let entered = Instant::now();
        let left = enter();
        add(&self.busy_nanos, entered.elapsed());
        if let Some(cpu) = cpu {
            add(&self.cpu_nanos, thread_cpu_time().saturating_sub(cpu));
        }
        left
    }

    /// Records the most bytes that all its linear memories had together.
    pub(crate) fn set_memory_peak(&self, bytes: usize) {
        self.memory_peak_bytes
            .store(bytes as u64, Ordering::Relaxed);
    }

    /// Records that it was refused memory.
    pub(crate) fn set_memory_limit_reached(&self) {
        self.memory_limit_reached.store(true, Ordering::Relaxed);
    }

    /// Counts a span of the guest's that was not kept.
    pub(crate) fn drop_span(&self) {
        self.spans_dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what is known by now, as attributes of the server span.
    pub(crate) fn add_to(&self, attributes: &mut Vec<KeyValue>) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let times = [
            ("fanlight.guest.instantiate_time", self.instantiate_time()),
            ("fanlight.guest.busy_time", self.busy_time()),
        ];
        for (key, time) in times {
            if let Some(time) = time {
                attributes.push(KeyValue::new(key, time.as_secs_f64()));
            }
        }
        if let Some(bytes) = self.memory_peak() {
            attributes.push(KeyValue::new("fanlight.guest.memory.peak", count(bytes)));
        }
        if self.memory_limit_reached.load(Ordering::Relaxed) {
            attributes.push(KeyValue::new("fanlight.memory.limit_reached", true));
        }
        let dropped = self.spans_dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            attributes.push(KeyValue::new("fanlight.spans.dropped", count(dropped)));
        }
    }

    fn instantiate_time(&self) -> Option<Duration> {
        self.instantiate.get().copied()
    }

    /// None where there was no instance to be busy.
    pub(crate) fn busy_time(&self) -> Option<Duration> {
        self.instantiate.get()?;
        let nanos = self.busy_nanos.load(Ordering::Relaxed);
        Some(Duration::from_nanos(nanos))
    }

    fn cpu_time(&self) -> Option<Duration> {
        if self.cpu_time == CpuTime::Unsampled {
            return None;
        }
        self.instantiate.get()?;
        let nanos = self.cpu_nanos.load(Ordering::Relaxed);
        Some(Duration::from_nanos(nanos))
    }

    /// None where no memory was made.
    pub(crate) fn memory_peak(&self) -> Option<u64> {
        let bytes = self.memory_peak_bytes.load(Ordering::Relaxed);
        (bytes > 0).then_some(bytes)
    }
}

fn add(nanos: &AtomicU64, time: Duration) {
    let more = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    nanos.fetch_add(more, Ordering::Relaxed);
}

/// The processor time of this thread so far, its system calls included.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// The instruments for what guests take, a point for each guest at its end.
#[derive(Debug)]
pub(crate) struct GuestMetrics {
    instantiate: Histogram<f64>,
    busy: Histogram<f64>,
    cpu: Histogram<f64>,
    memory_peak: Histogram<u64>,
    cpu_sample_period: Option<NonZeroU32>,
}

impl GuestMetrics {
    /// Makes them; the processor time of one guest in `cpu_sample_period` is
    /// measured, or of none.
    pub(crate) fn new(meter: &Meter, cpu_sample_period: Option<NonZeroU32>) -> Self {
        let time = |name, description| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description)
                .with_boundaries(TIME_BOUNDS.to_vec())
                .build()
        };
        Self {
            instantiate: time(
                "fanlight.guest.instantiate.duration",
                "Time to make a component's instance",
            ),
            busy: time(
                "fanlight.guest.busy.duration",
                "Time between entering and leaving a guest, in sum",
            ),
            cpu: time(
                "fanlight.guest.cpu.duration",
                "Processor time of guests, of a sample of them",
            ),
            memory_peak: meter
                .u64_histogram("fanlight.guest.memory.peak")
                .with_unit("By")
                .with_description("The most linear memory that a guest had")
                .with_boundaries(MEMORY_BOUNDS.to_vec())
                .build(),
            cpu_sample_period,
        }
    }

    /// Whether to measure the processor time of the guest behind this span. Its
    /// id is random: a load that repeats itself falls in step with a counter.
    pub(crate) fn cpu_time(&self, span: SpanId) -> CpuTime {
        let number = u64::from_be_bytes(span.to_bytes());
        match self.cpu_sample_period {
            Some(period) if number.is_multiple_of(u64::from(period.get())) => CpuTime::Sampled,
            Some(_) | None => CpuTime::Unsampled,
        }
    }

    /// Records what a guest took that is at its end.
    pub(crate) fn record(&self, usage: &GuestUsage) {
        let times = [
            (&self.instantiate, usage.instantiate_time()),
            (&self.busy, usage.busy_time()),
            (&self.cpu, usage.cpu_time()),
        ];
        for (histogram, time) in times {
            if let Some(time) = time {
                histogram.record(time.as_secs_f64(), &[]);
            }
        }
        if let Some(bytes) = usage.memory_peak() {
            self.memory_peak.record(bytes, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;

    fn keys(usage: &GuestUsage) -> Vec<String> {
        let mut attributes = Vec::new();
        usage.add_to(&mut attributes);
        attributes.iter().map(|it| it.key.to_string()).collect()
    }

    #[test]
    fn nothing_is_said_of_a_guest_that_had_no_instance() {
        let usage = GuestUsage::new(CpuTime::Sampled);
        assert_eq!(keys(&usage), [""; 0]);
        assert_eq!(usage.cpu_time(), None);
    }

    #[test]
    fn processor_time_passes_where_a_guest_computes_and_not_where_it_waits() {
        let usage = GuestUsage::new(CpuTime::Sampled);
        usage.instantiated(Instant::now());
        usage.measured(|| std::thread::sleep(Duration::from_millis(30)));
        let (busy, cpu) = (usage.busy_time().unwrap(), usage.cpu_time().unwrap());
        assert!(busy >= Duration::from_millis(30), "{busy:?}");
        assert!(cpu < Duration::from_millis(15), "{cpu:?}");
        let until = thread_cpu_time() + Duration::from_millis(20);
        usage.measured(|| while thread_cpu_time() < until {});
        let (more, cpu) = (usage.busy_time().unwrap(), usage.cpu_time().unwrap());
        assert!(cpu >= Duration::from_millis(19), "{cpu:?}");
        assert!(more >= busy + Duration::from_millis(19), "{more:?}");
    }

    #[test]
    fn one_guest_in_so_many_is_sampled_and_none_where_that_is_off() {
        let meter = SdkMeterProvider::builder().build().meter("");
        let sampled = |period| {
            let metrics = GuestMetrics::new(&meter, NonZeroU32::new(period));
            let ids = (1..=640_u64).map(|id| SpanId::from_bytes(id.to_be_bytes()));
            ids.filter(|id| metrics.cpu_time(*id) == CpuTime::Sampled)
                .count()
        };
        assert_eq!([0, 1, 64].map(sampled), [0, 640, 10]);
    }
}
