//! How an exam went, over all its results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Mark, QuestionId};

/// How an exam went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// How many results there are.
    pub count: u64,
    /// How many of them passed.
    pub passed: u64,
    /// Mean of the percentages; absent where there is no result, as are the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Half of the results are at or below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// Lowest and highest percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// How many results are in [0, 10), [10, 20), ... and [90, 100] percent.
    pub distribution: [u64; 10],
    /// Question by question.
    pub questions: Vec<QuestionStatistics>,
}

/// How one question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct QuestionStatistics {
    /// The question.
    pub question_id: QuestionId,
    /// How many results were graded with it.
    pub count: u64,
    /// Mean part of its points that was earned, 0 to 1: the lower, the harder it was.
    pub mean_share: f64,
}

/// Adds results up, one after the other: what it holds grows by eight bytes with each.
#[derive(Debug, Default)]
pub struct StatisticsBuilder {
    percents: Vec<f64>,
    passed: u64,
    questions: BTreeMap<QuestionId, (u64, f64)>,
}

impl StatisticsBuilder {
    /// Adds one result.
    pub fn add(&mut self, percent: f64, passed: bool, marks: &[Mark]) {
        self.percents.push(percent);
        self.passed += u64::from(passed);
        for mark in marks {
            let (count, shares) = self.questions.entry(mark.question_id).or_default();
            *count += 1;
            *shares += if mark.points > 0.0 { mark.earned / mark.points } else { 0.0 };
        }
    }

    /// What they add up to.
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 results")]
    pub fn finish(mut self) -> Statistics {
        self.percents.sort_by(f64::total_cmp);
        let count = self.percents.len();
        let mean = (count > 0).then(|| round(self.percents.iter().sum::<f64>() / count as f64));
        let median =
            (count > 0).then(|| round(f64::midpoint(self.percents[(count - 1) / 2], self.percents[count / 2])));
        let range = self.percents.first().zip(self.percents.last()).map(|(low, high)| [*low, *high]);
        let mut distribution = [0; 10];
        for percent in &self.percents {
            let above = (1_u8..10).filter(|bound| *percent >= f64::from(*bound) * 10.0).count();
            distribution[above] += 1;
        }
        let question = |(question_id, (count, shares)): (QuestionId, (u64, f64))| QuestionStatistics {
            question_id,
            count,
            mean_share: round(shares / count as f64),
        };
        Statistics {
            count: count as u64,
            passed: self.passed,
            mean,
            median,
            range,
            distribution,
            questions: self.questions.into_iter().map(question).collect(),
        }
    }
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(percents: &[f64]) -> Statistics {
        let mut builder = StatisticsBuilder::default();
        for percent in percents {
            builder.add(*percent, *percent >= 50.0, &[]);
        }
        builder.finish()
    }

    #[test]
    fn no_results_have_no_mean() {
        assert_eq!(of(&[]), Statistics::default());
    }

    #[test]
    fn mean_and_median_are_those_of_the_textbook() {
        let odd = of(&[100.0, 0.0, 20.0]);
        assert_eq!((odd.count, odd.passed, odd.mean, odd.median), (3, 1, Some(40.0), Some(20.0)));
        assert_eq!(of(&[10.0, 40.0, 20.0, 30.0]).median, Some(25.0));
        assert_eq!(odd.range, Some([0.0, 100.0]));
    }

    #[test]
    fn each_result_is_in_one_tenth_and_full_marks_in_the_last() {
        assert_eq!(of(&[0.0, 9.99, 10.0, 89.99, 90.0, 100.0]).distribution, [2, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn difficulty_is_the_part_of_points_that_was_missed() {
        let question_id = QuestionId(uuid::Uuid::nil());
        let mut builder = StatisticsBuilder::default();
        for earned in [4.0, 2.0, 0.0] {
            builder.add(50.0, true, &[Mark { question_id, earned, points: 4.0 }]);
        }
        assert_eq!(builder.finish().questions, [QuestionStatistics { question_id, count: 3, mean_share: 0.5 }]);
    }

    proptest! {
        #[test]
        fn every_result_is_counted_once(percents in prop::collection::vec(0.0..=100.0, 1..200)) {
            let statistics = of(&percents);
            prop_assert_eq!(statistics.distribution.iter().sum::<u64>(), percents.len() as u64);
            let [low, high] = statistics.range.expect("there are results");
            prop_assert!(low - 0.01 <= statistics.median.expect("there are results"));
            prop_assert!(statistics.mean.expect("there are results") <= high + 0.01);
        }
    }
}
