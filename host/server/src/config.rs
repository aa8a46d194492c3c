//! The server's configuration: every bound by name, with its default and reason.

pub(crate) mod captured_headers;
pub(crate) mod outbound;
pub(crate) mod trusted_proxies;

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::captured_headers::CapturedHeaders;
use crate::config::trusted_proxies::TrustedProxies;

/// Bounds on one request, and what is made of its headers.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    /// From the request's head to the guest's response head.
    pub request_timeout: Duration,
    /// How long a guest may go on after its last byte.
    pub linger: Duration,
    /// How long a request waits for a free instance, and no longer than its
    /// `request_timeout`.
    pub queue_timeout: Duration,
    /// Instances that live at once: the pool's slots.
    pub max_instances: NonZeroU32,
    /// The most bytes of one guest's linear memory.
    pub max_memory_bytes: usize,
    /// The most elements of one table of a guest. It has two as a rule, and eight bytes
    /// are kept for each element.
    pub max_table_elements: usize,
    /// The most bytes of a request's body; none: it streams whatever its size.
    pub max_body_bytes: Option<u64>,
    /// Header fields of a request.
    pub max_headers: usize,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Whether answers carry `traceresponse`.
    pub trace_header: bool,
    /// The host measures the processor time of one guest in this many; none: of no
    /// guest. Each sample costs two system calls each time the guest is entered.
    pub cpu_sample_period: Option<NonZeroU32>,
    /// Whose word on a request's origin is taken.
    pub trusted_proxies: TrustedProxies,
    /// The headers that the server span records.
    pub captured_headers: CapturedHeaders,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            linger: Duration::from_secs(10),
            queue_timeout: Duration::from_secs(1),
            max_instances: NonZeroU32::MIN.saturating_add(4_999),
            max_memory_bytes: 64 * 1024 * 1024,
            max_table_elements: 100_000,
            max_body_bytes: None,
            max_headers: 100,
            max_header_bytes: 32 * 1024,
            trace_header: true,
            cpu_sample_period: NonZeroU32::new(64),
            trusted_proxies: TrustedProxies::default(),
            captured_headers: CapturedHeaders::default(),
        }
    }
}

impl RequestLimits {
    /// Those on a guest's memories and tables.
    pub(crate) fn memory_bounds(&self) -> MemoryBounds {
        MemoryBounds {
            memory_bytes: self.max_memory_bytes,
            table_elements: self.max_table_elements,
        }
    }
}

/// Bounds on one guest's memories and tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryBounds {
    /// The most bytes of all linear memories together.
    pub(crate) memory_bytes: usize,
    /// The most elements of one table. The pool has the same bound; where instances
    /// are allocated on demand there would be no other.
    pub(crate) table_elements: usize,
}

/// Bounds on connections and on the server's end.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Connections open at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a request's head may take, and a connection be without a request.
    pub header_timeout: Duration,
    /// How long an answer's body may make no progress: no byte to the client.
    pub stream_idle_timeout: Duration,
    /// How long running requests may take after the signal to stop.
    pub shutdown_grace: Duration,
    /// How long the server goes on, not ready, before it stops accepting.
    pub shutdown_delay: Duration,
}

impl ServerLimits {
    /// The shortest time after which something on a connection may be amiss.
    pub(crate) fn shortest(&self) -> Duration {
        let shortest = self.header_timeout.min(self.stream_idle_timeout);
        // Who asks for none at all is not to have it looked at all the time.
        shortest.max(Duration::from_millis(1))
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            stream_idle_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(30),
            shutdown_delay: Duration::ZERO,
        }
    }
}
