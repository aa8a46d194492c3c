//! The metrics of one Prometheus name, and which instrument each name belongs to.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::SystemTime;

use opentelemetry::{SpanId, TraceId};

use crate::metrics::guest::Shape;

/// A value, and the span in which it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) value: f64,
    pub(crate) at: SystemTime,
}

/// All series of one instrument; once merged, all of one name.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    /// The name in the text format: a counter's ends in `total`.
    pub(crate) name: String,
    /// The unit that the name ends in.
    pub(crate) unit: Option<String>,
    pub(crate) help: String,
    pub(crate) kind: Kind,
    pub(crate) source: Source,
    pub(crate) series: Vec<Series>,
}

/// The instrument that a family is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) scope: String,
    pub(crate) instrument: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// A gauge that is always 1; its labels are what it says.
    Info,
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// In the order of their names, each name once.
    pub(crate) labels: Vec<Label>,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Number(f64),
    Histogram {
        /// All but the one without an upper bound.
        buckets: Vec<Bucket>,
        sum: f64,
        count: u64,
        /// One for each bucket and the one without an upper bound; or none at all.
        exemplars: Vec<Option<Exemplar>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) upper_bound: f64,
    /// The values up to the bound, those of the buckets before it included.
    pub(crate) cumulative_count: u64,
}

impl Value {
    /// A histogram of counts by their buckets' upper bounds; what is over the last
    /// one is in the count alone.
    pub(crate) fn histogram(
        within: impl IntoIterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
    ) -> Self {
        let mut cumulative_count = 0_u64;
        let buckets = within.into_iter().map(|(upper_bound, count)| {
            cumulative_count = cumulative_count.saturating_add(count);
            Bucket {
                upper_bound,
                cumulative_count,
            }
        });
        Self::Histogram {
            buckets: buckets.collect(),
            sum,
            count,
            exemplars: Vec::new(),
        }
    }
}

impl Kind {
    pub(crate) fn of(shape: Shape) -> Self {
        match shape {
            Shape::Counter => Self::Counter,
            Shape::Gauge | Shape::UpDownCounter => Self::Gauge,
            Shape::Histogram | Shape::ExponentialHistogram => Self::Histogram,
        }
    }
}

/// The owner of each name. It stays with who had it first, so that no series ends
/// because another begins. As bounded as instruments are.
#[derive(Debug, Default)]
pub(crate) struct Names {
    owners: HashMap<String, (String, Kind, Source)>,
    /// The order in which instruments came up.
    known: HashMap<Source, usize>,
    /// Instruments of which something was left out, which is logged once.
    left_out: HashSet<Source>,
}

impl Names {
    /// Joins families of the same name, in the order of their names. Leaves out
    /// families whose name another kind of metric has, and series that are there
    /// already: either would have Prometheus refuse the whole text.
    pub(crate) fn merged(&mut self, mut families: Vec<Family>) -> Vec<Family> {
        for family in &families {
            let next = self.known.len();
            self.known.entry(family.source.clone()).or_insert(next);
        }
        families.sort_by_key(|family| self.known.get(&family.source).copied());
        let mut by_name = BTreeMap::<String, Family>::new();
        let mut series_owners = HashMap::<String, HashMap<Vec<Label>, Source>>::new();
        for mut family in families {
            if !self.claim(&family) {
                continue;
            }
            let owners = series_owners.entry(family.name.clone()).or_default();
            let mut taken_by = None;
            family
                .series
                .retain(|series| match owners.get(&series.labels) {
                    Some(owner) => {
                        taken_by.get_or_insert_with(|| owner.clone());
                        false
                    }
                    None => {
                        owners.insert(series.labels.clone(), family.source.clone());
                        true
                    }
                });
            if let Some(owner) = taken_by {
                self.log_left_out(&family, &owner, "the same name and labels");
            }
            match by_name.entry(family.name.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(family);
                }
                Entry::Occupied(mut entry) => {
                    let first = entry.get_mut();
                    first.series.append(&mut family.series);
                    // Instruments whose units differ can have one name.
                    if first.unit != family.unit {
                        first.unit = None;
                    }
                }
            }
        }
        // One without a series would be invalid.
        by_name.retain(|_, family| !family.series.is_empty());
        by_name.into_values().collect()
    }

    /// Whether a family can have its name.
    fn claim(&mut self, family: &Family) -> bool {
        let names = family.names();
        let taken = names.iter().find_map(|name| {
            let (owner, kind, source) = self.owners.get(name)?;
            let is_other = *owner != family.name || *kind != family.kind;
            is_other.then(|| source.clone())
        });
        if let Some(owner) = taken {
            self.log_left_out(family, &owner, "a name of its lines");
            return false;
        }
        for name in names {
            self.owners
                .entry(name)
                .or_insert_with(|| (family.name.clone(), family.kind, family.source.clone()));
        }
        true
    }

    fn log_left_out(&mut self, family: &Family, owner: &Source, has: &str) {
        if self.left_out.insert(family.source.clone()) {
            tracing::warn!(
                metric = family.source.instrument,
                scope = family.source.scope,
                name = family.name,
                taken_by = owner.instrument,
                taken_by_scope = owner.scope,
                "left out of /metrics: another metric has {has}"
            );
        }
    }
}

impl Family {
    /// All names that its lines have. A histogram has more than its own, and
    /// `x.count` beside a histogram `x` would be one of them.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = vec![self.name.clone()];
        if self.kind == Kind::Histogram {
            let suffixes = ["_bucket", "_count", "_sum", "_created"];
            names.extend(suffixes.map(|suffix| format!("{}{suffix}", self.name)));
        }
        names
    }
}
