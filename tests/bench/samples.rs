//! Figures of several rounds, and what they come to.

use serde::Serialize;

/// One figure of each round, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

/// The middle of several figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Samples {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    pub(crate) const fn rounds(&self) -> usize {
        self.0.len()
    }

    /// Median and extremes; `None` without a figure.
    pub(crate) fn spread(&self) -> Option<Spread> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Spread {
            median: *sorted.get(sorted.len() / 2)?,
            least: *sorted.first()?,
            most: *sorted.last()?,
        })
    }

    /// This over `reference`, round by round.
    pub(crate) fn over(&self, reference: &Self) -> Self {
        Self(
            self.0
                .iter()
                .zip(&reference.0)
                .map(|(own, other)| own / other)
                .collect(),
        )
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        // A machine that is half as fast in the second round changes both figures and no ratio.
        let own: Samples = [10.0, 5.0, 11.0].into_iter().collect();
        let reference: Samples = [20.0, 10.0, 20.0].into_iter().collect();
        let spread = own.over(&reference).spread();
        assert_eq!(
            spread,
            Some(Spread {
                median: 0.5,
                least: 0.5,
                most: 0.55
            })
        );
        assert_eq!(Samples::default().spread(), None);
    }
}
