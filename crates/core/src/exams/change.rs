//! Which cache keys a change makes stale: the one table of dependencies.

use crate::{CacheName, ExamId, QuestionId, ResultId, UserId};

/// A committed change of something that is cached. Deleting is a change too. Making is none where the id is drawn in
/// the same transaction: no reader can have asked for it. Otherwise the absence of an id is cached as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// An exam was changed, published, closed or deleted, or any of its questions: they all show its version.
    Exam {
        /// The exam.
        exam: ExamId,
        /// All questions that it had before or has now.
        questions: Vec<QuestionId>,
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
    /// | exam, or a question of it | `exam:{id}`, `exam:{id}:questions`, `question:{id}` of each of its questions |
    /// | profile | `user:{id}:profile` |
    /// | result | `result:{id}` |
    pub fn stale_keys(changes: &[Self]) -> Vec<String> {
        let mut keys: Vec<String> = changes.iter().flat_map(Self::keys).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn keys(&self) -> Vec<String> {
        let names = match self {
            Self::Exam { exam, questions } => {
                let questions = questions.iter().map(|question| CacheName::Question(*question));
                [CacheName::Exam(*exam), CacheName::QuestionSheet(*exam)].into_iter().chain(questions).collect()
            }
            Self::Profile(id) => vec![CacheName::Profile(*id)],
            Self::Result(id) => vec![CacheName::Result(*id)],
        };
        names.iter().map(ToString::to_string).collect()
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
        let of = |questions| Change::Exam { exam, questions };
        check(&[], &[]);
        check(&[of(vec![])], &["exam:{1}", "exam:{1}:questions"]);
        check(&[of(vec![question])], &["exam:{1}", "exam:{1}:questions", "question:{2}"]);
        check(&[of(vec![question, question]), of(vec![])], &["exam:{1}", "exam:{1}:questions", "question:{2}"]);
        check(&[Change::Profile(UserId(Uuid::from_u128(1)))], &["user:{1}:profile"]);
        check(&[Change::Result(ResultId(Uuid::from_u128(2)))], &["result:{2}"]);
    }
}
