//! The log records in memory, bounded by bytes and by number; the oldest go first.

use std::collections::VecDeque;
use std::sync::Arc;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;

use crate::store::origin::Origin;

/// What a record takes beside its bytes.
const LOG_OVERHEAD: usize = size_of::<StoredLog>() + 48;

/// A log record, as it was encoded.
#[derive(Debug)]
pub(crate) struct StoredLog {
    /// Grows with each record that is admitted.
    pub(crate) seq: u64,
    /// 0 where the record belongs to no trace.
    pub(crate) trace_id: u128,
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    pub(crate) severity: i32,
    pub(crate) origin: Arc<Origin>,
    /// An encoded `LogRecord`.
    pub(crate) bytes: Box<[u8]>,
}

impl StoredLog {
    pub(crate) fn decode(&self) -> LogRecord {
        LogRecord::decode(&*self.bytes).unwrap_or_default()
    }

    /// The memory that it takes.
    pub(crate) fn room(&self) -> usize {
        LOG_OVERHEAD + self.bytes.len() + self.origin.bytes()
    }
}

/// The log records in memory.
#[derive(Debug)]
pub(crate) struct Logs {
    records: VecDeque<Arc<StoredLog>>,
    bytes: usize,
    max_bytes: usize,
    max_records: usize,
    next_seq: u64,
}

impl Logs {
    pub(crate) fn new(max_bytes: usize, max_records: usize) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            max_bytes,
            max_records,
            next_seq: 1,
        }
    }

    pub(crate) fn next_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Adds a record, and returns those that had to go.
    pub(crate) fn add(&mut self, log: StoredLog) -> Vec<Arc<StoredLog>> {
        self.bytes += log.room();
        self.records.push_back(Arc::new(log));
        let mut gone = Vec::new();
        while self.bytes > self.max_bytes || self.records.len() > self.max_records {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.bytes -= oldest.room();
            gone.push(oldest);
        }
        gone
    }

    /// All records, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<StoredLog>> {
        self.records.iter().cloned().collect()
    }

    pub(crate) fn of_trace(&self, id: u128) -> Vec<Arc<StoredLog>> {
        let records = self.records.iter();
        records.filter(|it| it.trace_id == id).cloned().collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn clear(&mut self) {
        self.records = VecDeque::new();
        self.bytes = 0;
    }
}
