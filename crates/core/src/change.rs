//! What a change makes wrong in the cache: the one table of dependencies.

use crate::{
    CacheKey, ExamId, ExamKey, ProfileKey, QuestionId, QuestionKey, QuestionSheetKey, ResultId, ResultKey, UserId,
};

/// A committed change of something that is cached. Deleting is a change too. Making is none where the id is drawn in
/// the same transaction: nobody can have asked for it, though otherwise that there is nothing of an id is cached as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// An exam was changed, published, closed or deleted.
    Exam(ExamId),
    /// A question was added, changed, moved or deleted.
    Question {
        /// The question.
        question: QuestionId,
        /// The exam it belongs to.
        exam: ExamId,
    },
    /// An account's public profile was changed.
    Profile(UserId),
    /// A result was changed.
    Result(ResultId),
}

impl Change {
    /// The cache keys whose values may be wrong once these changes are committed, each once, without `CACHE_PREFIX`.
    ///
    /// | change | keys |
    /// |---|---|
    /// | exam | `exam:{id}`, `exam:{id}:questions` |
    /// | question | `question:{id}`, `exam:{exam}:questions`, `exam:{exam}` |
    /// | profile | `user:{id}:profile` |
    /// | result | `result:{id}` |
    pub fn stale_keys(changes: &[Self]) -> Vec<String> {
        let mut keys: Vec<String> = changes.iter().flat_map(|change| change.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn keys(self) -> Vec<String> {
        let of_exam = |id| vec![ExamKey(id).redis_key(), QuestionSheetKey(id).redis_key()];
        match self {
            Self::Exam(id) => of_exam(id),
            Self::Question { question, exam } => {
                let mut keys = of_exam(exam);
                keys.push(QuestionKey(question).redis_key());
                keys
            }
            Self::Profile(id) => vec![ProfileKey(id).redis_key()],
            Self::Result(id) => vec![ResultKey(id).redis_key()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn check(changes: &[Change], keys: &[&str]) {
        let id = |n: u128| Uuid::from_u128(n).to_string();
        let expected: Vec<_> = keys.iter().map(|key| key.replace("{1}", &id(1)).replace("{2}", &id(2))).collect();
        assert_eq!(Change::stale_keys(changes), expected);
    }

    #[test]
    fn every_change_names_all_that_shows_it_once() {
        let (exam, question) = (ExamId(Uuid::from_u128(1)), QuestionId(Uuid::from_u128(2)));
        let of_question = Change::Question { question, exam };
        check(&[], &[]);
        check(&[Change::Exam(exam)], &["exam:{1}", "exam:{1}:questions"]);
        check(&[of_question], &["exam:{1}", "exam:{1}:questions", "question:{2}"]);
        check(&[of_question, Change::Exam(exam), of_question], &["exam:{1}", "exam:{1}:questions", "question:{2}"]);
        check(&[Change::Profile(UserId(Uuid::from_u128(1)))], &["user:{1}:profile"]);
        check(&[Change::Result(ResultId(Uuid::from_u128(2)))], &["result:{2}"]);
    }
}
