//! The order in which one student sees an exam: by chance, and the same whenever it is asked for.

use serde::{Deserialize, Serialize};

use crate::{AttemptId, QuestionId, StudentKind, StudentQuestion};

/// A question's place in an attempt, with the order of its choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderedQuestion {
    /// The question.
    pub question_id: QuestionId,
    /// Its choices in order; empty where it has none.
    pub choice_ids: Vec<String>,
}

/// The order of an attempt: questions and choices shuffled by the attempt's id.
pub fn shuffled(attempt: AttemptId, questions: &[StudentQuestion]) -> Vec<OrderedQuestion> {
    let mut shuffler = Shuffler::new(attempt);
    let mut order: Vec<_> = questions
        .iter()
        .map(|question| {
            let mut choice_ids: Vec<_> = match &question.kind {
                StudentKind::SingleChoice { choices } | StudentKind::MultipleChoice { choices } => {
                    choices.iter().map(|choice| choice.id.clone()).collect()
                }
                StudentKind::TrueFalse | StudentKind::Numeric | StudentKind::ShortText => Vec::new(),
            };
            shuffler.shuffle(&mut choice_ids);
            OrderedQuestion { question_id: question.id, choice_ids }
        })
        .collect();
    shuffler.shuffle(&mut order);
    order
}

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): good enough to shuffle, and
/// frozen, so that no update of a library gives a running attempt another order.
struct Shuffler(u64);

impl Shuffler {
    fn new(attempt: AttemptId) -> Self {
        let (high, low) = attempt.0.as_u64_pair();
        Self(high.rotate_left(32) ^ low)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Fisher and Yates. The remainder favours low places by less than 1 in 2^50.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.next() % (last as u64 + 1);
            items.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StudentChoice;
    use proptest::prelude::*;

    fn questions(count: u128) -> Vec<StudentQuestion> {
        let choice = |id: &str| StudentChoice { id: id.into(), text: id.into() };
        let one = |n| StudentQuestion {
            id: QuestionId(uuid::Uuid::from_u128(n)),
            text: "?".into(),
            points: 1.0,
            kind: if n % 2 == 0 {
                StudentKind::SingleChoice { choices: ["a", "b", "c", "d"].map(choice).into() }
            } else {
                StudentKind::Numeric
            },
        };
        (0..count).map(one).collect()
    }

    fn attempt(n: u128) -> AttemptId {
        AttemptId(uuid::Uuid::from_u128(n))
    }

    proptest! {
        #[test]
        fn an_order_names_every_question_and_every_choice_once(id: u128, count in 0_u128..40) {
            let questions = questions(count);
            let mut order = shuffled(attempt(id), &questions);
            order.sort_by_key(|one| one.question_id);
            prop_assert_eq!(order.len(), questions.len());
            for (one, question) in order.iter_mut().zip(&questions) {
                one.choice_ids.sort_unstable();
                prop_assert_eq!(one.question_id, question.id);
                let choices: &[&str] =
                    if matches!(question.kind, StudentKind::SingleChoice { .. }) { &["a", "b", "c", "d"] } else { &[] };
                prop_assert_eq!(&one.choice_ids, choices);
            }
        }

        #[test]
        fn an_attempt_keeps_its_order(id: u128) {
            let questions = questions(20);
            prop_assert_eq!(shuffled(attempt(id), &questions), shuffled(attempt(id), &questions));
        }
    }

    #[test]
    fn every_question_comes_first_for_some() {
        let questions = questions(10);
        let mut first = [0; 10];
        for n in 0..10_000 {
            let order = shuffled(attempt(0x018f_4e3a_0000_7000_8000_0000_0000_0000 + n), &questions);
            first[usize::try_from(order[0].question_id.0.as_u128()).expect("small")] += 1;
        }
        assert!(first.iter().all(|count| (800..1200).contains(count)), "{first:?}");
    }

    #[test]
    fn the_order_of_an_attempt_never_changes_with_a_release() {
        let order = shuffled(attempt(0x018f_4e3a_0000_7000_8000_0000_0000_0001), &questions(6));
        let places: Vec<_> = order.iter().map(|one| one.question_id.0.as_u128()).collect();
        assert_eq!(places, FROZEN);
    }

    const FROZEN: [u128; 6] = [4, 3, 1, 0, 2, 5];
}
