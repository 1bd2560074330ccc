//! What do several runs say together? Median and spread; never a mean that one bad run bends.

/// Several measurements of one quantity, in the order they were made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) runs: usize,
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Summary {
    /// `None` without samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        Some(Self { runs: sorted.len(), median: quantile(&sorted, 0.5), least, most })
    }

    /// Half the distance between least and most, as a share of the median.
    pub(crate) fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.most - self.least) / 2.0 / self.median.abs() }
    }
}

/// Whether B differs from A by more than the runs of each differ among themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) a: Summary,
    pub(crate) b: Summary,
    /// median(B) / median(A).
    pub(crate) ratio: f64,
    /// Share of pairs (a, b) with a < b, ties half (the U statistic of Mann and Whitney over its maximum):
    /// 0.5 says nothing, 0 and 1 say that the runs do not overlap.
    pub(crate) b_above_a: f64,
}

impl Comparison {
    /// `None` where one side has no samples.
    pub(crate) fn of(a: &[f64], b: &[f64]) -> Option<Self> {
        let (first, second) = (Summary::of(a)?, Summary::of(b)?);
        let mut above = 0.0;
        for x in a {
            for y in b {
                above += match x.total_cmp(y) {
                    std::cmp::Ordering::Less => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Greater => 0.0,
                };
            }
        }
        let pairs = (a.len() * b.len()) as f64;
        Some(Self { a: first, b: second, ratio: second.median / first.median, b_above_a: above / pairs })
    }

    /// Words for the table.
    pub(crate) fn verdict(&self) -> &'static str {
        let few = self.a.runs.min(self.b.runs) < 4;
        match self.b_above_a {
            _ if few => "too few runs to tell",
            share if share >= 0.95 => "B higher",
            share if share <= 0.05 => "B lower",
            _ => "no difference beyond the spread",
        }
    }
}

/// Linear interpolation between the two nearest of `sorted`, which is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (at - at.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_bad_run() {
        let summary = Summary::of(&[10.0, 11.0, 1.0, 10.5, 10.2]).unwrap();
        assert!((summary.median - 10.2).abs() < 1e-12);
        assert!((summary.least - 1.0).abs() < 1e-12 && (summary.most - 11.0).abs() < 1e-12);
        let even = Summary::of(&[1.0, 3.0]).unwrap();
        assert!((even.median - 2.0).abs() < 1e-12 && (even.spread() - 0.5).abs() < 1e-12);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn runs_that_do_not_overlap_differ_and_those_that_do_may_not() {
        let a = [1.0, 1.1, 0.9, 1.05];
        let higher = Comparison::of(&a, &[1.3, 1.4, 1.2, 1.35]).unwrap();
        assert_eq!(higher.verdict(), "B higher");
        assert!((higher.ratio - 1.325 / 1.025).abs() < 1e-9);
        assert_eq!(Comparison::of(&[2.0; 4], &[1.0; 4]).unwrap().verdict(), "B lower");
        assert_eq!(Comparison::of(&a, &a).unwrap().verdict(), "no difference beyond the spread");
        assert!((Comparison::of(&a, &a).unwrap().b_above_a - 0.5).abs() < 1e-12);
        assert_eq!(Comparison::of(&[1.0], &[9.0]).unwrap().verdict(), "too few runs to tell");
    }
}
