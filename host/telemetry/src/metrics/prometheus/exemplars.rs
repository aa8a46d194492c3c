//! Exemplars: for each bucket of a histogram, the last sampled span that was
//! counted in it. The SDK keeps none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::SpanContext;
use opentelemetry::{InstrumentationScope, KeyValue};
use parking_lot::Mutex;

use crate::metrics::prometheus::family::{Exemplar, Family, Label, Value};
use crate::metrics::prometheus::naming::labels;
use crate::scope::HOST_SCOPE;

/// The most series of a histogram that have exemplars: some 100 KiB of 15 buckets.
const MAX_SERIES: usize = 64;

/// The exemplars of one of the host's histograms.
#[derive(Clone, Debug)]
pub struct Exemplars {
    instrument: &'static str,
    bounds: &'static [f64],
    series: Arc<Mutex<HashMap<Vec<Label>, Arc<SeriesExemplars>>>>,
}

/// The exemplars of one series.
#[derive(Debug)]
pub struct SeriesExemplars {
    bounds: &'static [f64],
    /// One more than there are bounds.
    buckets: Vec<Mutex<Option<Exemplar>>>,
}

impl Exemplars {
    pub(crate) fn new(instrument: &'static str, bounds: &'static [f64]) -> Self {
        Self {
            instrument,
            bounds,
            series: Arc::default(),
        }
    }

    /// The exemplars of the series with these attributes; `None` if too many
    /// other series have some.
    pub fn series(&self, attributes: &[KeyValue]) -> Option<Arc<SeriesExemplars>> {
        let labels = labels(attributes, &host_scope());
        let mut series = self.series.lock();
        if series.len() >= MAX_SERIES && !series.contains_key(&labels) {
            return None;
        }
        let series = series.entry(labels).or_insert_with(|| {
            let buckets = (0..=self.bounds.len()).map(|_| Mutex::default());
            Arc::new(SeriesExemplars {
                bounds: self.bounds,
                buckets: buckets.collect(),
            })
        });
        Some(Arc::clone(series))
    }

    /// Adds the exemplars to the buckets of their histogram.
    pub(crate) fn add_to(&self, families: &mut [Family]) {
        let known = self.series.lock();
        let own = families.iter_mut().filter(|family| {
            family.source.scope == HOST_SCOPE && family.source.instrument == self.instrument
        });
        for series in own.flat_map(|family| &mut family.series) {
            if let Value::Histogram { exemplars, .. } = &mut series.value
                && let Some(known) = known.get(&series.labels)
            {
                *exemplars = known.last();
            }
        }
    }
}

impl SeriesExemplars {
    /// Keeps the span as the exemplar of the value's bucket. If the bucket is in
    /// use by another thread, that thread's exemplar is as good.
    pub fn record(&self, value: f64, span: &SpanContext) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let bucket = self.buckets.get(bucket).and_then(Mutex::try_lock);
        if let Some(mut last) = bucket {
            *last = Some(Exemplar {
                trace_id: span.trace_id(),
                span_id: span.span_id(),
                value,
                at: SystemTime::now(),
            });
        }
    }

    fn last(&self) -> Vec<Option<Exemplar>> {
        let last = |bucket: &Mutex<Option<Exemplar>>| *bucket.lock();
        self.buckets.iter().map(last).collect()
    }
}

fn host_scope() -> InstrumentationScope {
    InstrumentationScope::builder(HOST_SCOPE).build()
}
