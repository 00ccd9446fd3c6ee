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

/// The order of an attempt: questions and choices by a hash of the attempt's id and theirs. So a question that is added or
/// removed while students sit the exam moves no other one.
pub fn shuffled(attempt: AttemptId, questions: &[StudentQuestion]) -> Vec<OrderedQuestion> {
    let of_attempt = Hash::START.with_id(attempt.0);
    let mut order: Vec<_> = questions.iter().map(|question| (of_attempt.with_id(question.id.0), question)).collect();
    order.sort_by_key(|(hash, question)| (*hash, question.id));
    let ordered = |(hash, question): (Hash, &StudentQuestion)| {
        let mut choice_ids: Vec<_> = match &question.kind {
            StudentKind::SingleChoice { choices } | StudentKind::MultipleChoice { choices } => {
                choices.iter().map(|choice| choice.id.clone()).collect()
            }
            StudentKind::TrueFalse | StudentKind::Numeric | StudentKind::ShortText => Vec::new(),
        };
        choice_ids.sort_by_cached_key(|id| hash.with_bytes(id.as_bytes()));
        OrderedQuestion { question_id: question.id, choice_ids }
    };
    order.into_iter().map(ordered).collect()
}

/// A hash that is frozen, so that no update of a library gives a running attempt another order: each word is added and mixed
/// as `SplitMix64` does (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hash(u64);

impl Hash {
    const START: Self = Self(0);

    fn with(self, word: u64) -> Self {
        let mut z = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(z ^ (z >> 31))
    }

    fn with_id(self, id: uuid::Uuid) -> Self {
        let (high, low) = id.as_u64_pair();
        self.with(high).with(low)
    }

    fn with_bytes(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |hash, byte| hash.with(u64::from(*byte)))
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
        fn a_question_that_comes_or_goes_moves_no_other(id: u128, gone in 0_usize..20) {
            let all = questions(20);
            let mut fewer = all.clone();
            let gone = fewer.remove(gone).id;
            let mut order = shuffled(attempt(id), &all);
            order.retain(|one| one.question_id != gone);
            prop_assert_eq!(order, shuffled(attempt(id), &fewer));
        }

        #[test]
        fn an_attempt_keeps_its_order(id: u128) {
            let (all, mut moved) = (questions(20), questions(20));
            moved.reverse();
            prop_assert_eq!(shuffled(attempt(id), &all), shuffled(attempt(id), &moved));
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

    const FROZEN: [u128; 6] = [0, 5, 4, 1, 3, 2];
}
