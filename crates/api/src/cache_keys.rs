//! The keys of cached exams, questions, results and profiles: types and lives of their values.

pub(crate) mod json_form;

use std::time::Duration;

use examhall_cache::{CacheKey, Life};
use examhall_core::{
    CacheName, Exam, ExamAccess, ExamId, ExamResult, Profile, QuestionId, QuestionSheet, ResultAccess, ResultId,
    StudentQuestion, UserId,
};

use self::json_form::shape;

/// `exam:{id}`: one exam, for 1 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExamKey(pub(crate) ExamId);

impl CacheKey for ExamKey {
    type Value = Exam;
    type Head = ExamAccess;
    const SHAPE: u32 = shape::<Exam, ExamAccess>();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        CacheName::Exam(self.0).to_string()
    }
}

/// `exam:{id}:questions`: its question sheet as students see it, for 2 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QuestionSheetKey(pub(crate) ExamId);

impl CacheKey for QuestionSheetKey {
    type Value = QuestionSheet;
    type Head = ExamAccess;
    const SHAPE: u32 = shape::<QuestionSheet, ExamAccess>();
    const LIFE: Life = Life::hours(2);

    fn redis_key(&self) -> String {
        CacheName::QuestionSheet(self.0).to_string()
    }
}

/// `question:{id}`: one question as students see it, for 2 h. Its head names its exam, whose own entry says who may see
/// it: a copy of that here would be wrong after every change of the exam's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QuestionKey(pub(crate) QuestionId);

impl CacheKey for QuestionKey {
    type Value = StudentQuestion;
    type Head = ExamId;
    const SHAPE: u32 = shape::<StudentQuestion, ExamId>();
    const LIFE: Life = Life::hours(2);

    fn redis_key(&self) -> String {
        CacheName::Question(self.0).to_string()
    }
}

/// `result:{id}`: one result, for 2 h. Personal: only in Redis, and never after its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResultKey(pub(crate) ResultId);

impl CacheKey for ResultKey {
    type Value = ExamResult;
    type Head = ResultAccess;
    const SHAPE: u32 = shape::<ExamResult, ResultAccess>();
    const LIFE: Life = Life { soft: None, local: Duration::ZERO, stale_on_error: Duration::ZERO, ..Life::hours(2) };

    fn redis_key(&self) -> String {
        CacheName::Result(self.0).to_string()
    }
}

/// `user:{id}:profile`: a public profile, for 1 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProfileKey(pub(crate) UserId);

impl CacheKey for ProfileKey {
    type Value = Profile;
    type Head = ();
    const SHAPE: u32 = shape::<Profile, ()>();
    const LIFE: Life = Life {
        soft: Some(Duration::from_mins(10)),
        local: Duration::from_secs(15),
        stale_on_error: Duration::ZERO,
        ..Life::hours(1)
    };

    fn redis_key(&self) -> String {
        CacheName::Profile(self.0).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use examhall_core::KEY_SPACES;

    const ID: &str = "018f4e3a-0000-7000-8000-000000000001";

    fn check<K: CacheKey>(key: &K, name: &str, hours: u64) {
        assert_eq!(key.redis_key(), name.replace("{id}", ID));
        assert_eq!(K::LIFE.hard, Duration::from_hours(hours), "{name}");
        assert!(KEY_SPACES.iter().any(|space| name.starts_with(space)), "{name}");
        assert!(K::LIFE.soft.is_none_or(|soft| soft + K::LIFE.stale_on_error < K::LIFE.hard), "{name}");
    }

    #[test]
    fn names_and_lives_are_those_of_the_contract() {
        let id = ID.parse().expect("a UUID");
        check(&ExamKey(ExamId(id)), "exam:{id}", 1);
        check(&QuestionSheetKey(ExamId(id)), "exam:{id}:questions", 2);
        check(&QuestionKey(QuestionId(id)), "question:{id}", 2);
        check(&ProfileKey(UserId(id)), "user:{id}:profile", 1);
        check(&ResultKey(ResultId(id)), "result:{id}", 2);
    }
}
