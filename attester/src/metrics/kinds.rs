//! Counters, gauges and histograms as the parts use them; the library's types do not leave this folder.

use std::{hash::Hash, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeMetric,
    metrics::{TypedMetric, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::series::{Series, Values};

/// Something that only grows.
pub(super) type Counts<const N: usize> = Labelled<N, Counter>;
/// A whole number that goes up and down.
pub(super) type Levels<const N: usize> = Labelled<N, Gauge>;
/// A number of seconds that goes up and down.
pub(super) type Seconds<const N: usize> = Labelled<N, Gauge<f64, AtomicU64>>;
/// How long something took.
pub(super) type Times<const N: usize> = Labelled<N, Histogram>;

/// A metric for each combination of the values of N labels.
pub(super) struct Labelled<const N: usize, M> {
    names: [&'static str; N],
    family: Family<Set<N>, M, fn() -> M>,
}

/// One combination: names and values.
type Set<const N: usize> = [(&'static str, &'static str); N];

/// What there can be one of for each combination.
pub(super) trait Kind: EncodeMetric + TypedMetric + Clone + Send + Sync + std::fmt::Debug + 'static {
    /// Its type in OpenMetrics.
    const NAME: &'static str;

    /// One that nothing happened to.
    fn fresh() -> Self;
}

impl Kind for Counter {
    const NAME: &'static str = "counter";

    fn fresh() -> Self {
        Self::default()
    }
}

impl Kind for Gauge {
    const NAME: &'static str = "gauge";

    fn fresh() -> Self {
        Self::default()
    }
}

impl Kind for Gauge<f64, AtomicU64> {
    const NAME: &'static str = "gauge";

    fn fresh() -> Self {
        Self::default()
    }
}

impl Kind for Histogram {
    const NAME: &'static str = "histogram";

    fn fresh() -> Self {
        Self::new(BUCKETS)
    }
}

impl<const N: usize, M: Kind> Labelled<N, M>
where
    Set<N>: Clone + Hash + Eq,
{
    /// The type in OpenMetrics.
    pub(super) const KIND: &'static str = M::NAME;

    /// Makes and registers it. Combinations that are known beforehand stand at zero, so that the first event is a rise.
    pub(super) fn new(series: &'static Series, registry: &mut Registry) -> Self {
        let mut names = [""; N];
        for (name, label) in names.iter_mut().zip(series.labels) {
            *name = label.name;
        }
        let fresh: fn() -> M = M::fresh;
        let made = Self {
            names,
            family: Family::new_with_constructor(fresh),
        };
        for values in combinations(series) {
            if let Ok(values) = <[&'static str; N]>::try_from(values) {
                drop(made.family.get_or_create(&made.set_of(values)));
            }
        }
        registry.register(series.name, series.help, made.family.clone());
        made
    }

    /// Takes all combinations away: there is nothing to tell.
    pub(super) fn clear(&self) {
        self.family.clear();
    }

    fn with(&self, values: [&'static str; N], act: impl FnOnce(&M)) {
        act(&self.family.get_or_create(&self.set_of(values)));
    }

    fn set_of(&self, values: [&'static str; N]) -> Set<N> {
        let mut set = [("", ""); N];
        for (pair, (name, value)) in set.iter_mut().zip(self.names.iter().zip(values)) {
            *pair = (name, value);
        }
        set
    }
}

impl<const N: usize> Counts<N> {
    pub(super) fn add(&self, values: [&'static str; N]) {
        self.add_many(values, 1);
    }

    pub(super) fn add_many(&self, values: [&'static str; N], how_many: u64) {
        self.with(values, |counter| {
            counter.inc_by(how_many);
        });
    }
}

impl<const N: usize> Levels<N> {
    pub(super) fn set(&self, values: [&'static str; N], to: i64) {
        self.with(values, |gauge| {
            gauge.set(to);
        });
    }
}

impl<const N: usize> Seconds<N> {
    pub(super) fn set(&self, values: [&'static str; N], to: f64) {
        self.with(values, |gauge| {
            gauge.set(to);
        });
    }
}

impl<const N: usize> Times<N> {
    pub(super) fn note(&self, values: [&'static str; N], took: Duration) {
        self.with(values, |histogram| histogram.observe(took.as_secs_f64()));
    }
}

/// All combinations of a series' labels; none when one of them has values that only time brings.
fn combinations(series: &Series) -> Vec<Vec<&'static str>> {
    let mut all = vec![Vec::new()];
    for label in series.labels {
        let Values::Listed(values) = label.values else {
            return Vec::new();
        };
        let longer = |begun: &Vec<&'static str>| -> Vec<Vec<&'static str>> {
            let with = |value| begun.iter().copied().chain([value]).collect();
            values().into_iter().map(with).collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// From a tenth of a millisecond (a commit to memory) to the ten seconds that a probe may take.
const BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
