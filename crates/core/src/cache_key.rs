//! What the cache holds, under which key, and for how long.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Exam, ExamAccess, ExamId, ExamResult, Profile, QuestionId, QuestionSheet, ResultAccess, ResultId, StudentQuestion,
    UserId,
};

/// A key of the cache that knows what stands under it, so a value cannot be read as something else.
pub trait CacheKey {
    /// What stands under the key and is sent: kept as the JSON that goes out.
    type Value: Serialize + DeserializeOwned;

    /// What is kept beside it and never sent: what decides who may see it.
    type Head: Serialize + DeserializeOwned;

    /// How long it may be served.
    const LIFE: Life;

    /// The key in Redis, without `CACHE_PREFIX`.
    fn redis_key(&self) -> String;
}

/// How long a cached value may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Longest time between the read from the database and the last time the value is served from Redis.
    pub fresh: Duration,
}

impl Life {
    const fn hours(hours: u64) -> Self {
        Self { fresh: Duration::from_hours(hours) }
    }
}

/// `exam:{id}`: one exam, for 1 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExamKey(pub ExamId);

impl CacheKey for ExamKey {
    type Value = Exam;
    type Head = ExamAccess;
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        format!("exam:{}", self.0)
    }
}

/// `exam:{id}:questions`: its question sheet as students see it, for 2 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuestionSheetKey(pub ExamId);

impl CacheKey for QuestionSheetKey {
    type Value = QuestionSheet;
    type Head = ExamAccess;
    const LIFE: Life = Life::hours(2);

    fn redis_key(&self) -> String {
        format!("exam:{}:questions", self.0)
    }
}

/// `question:{id}`: one question as students see it, for 2 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuestionKey(pub QuestionId);

impl CacheKey for QuestionKey {
    type Value = StudentQuestion;
    type Head = ExamAccess;
    const LIFE: Life = Life::hours(2);

    fn redis_key(&self) -> String {
        format!("question:{}", self.0)
    }
}

/// `result:{id}`: one result, for 2 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResultKey(pub ResultId);

impl CacheKey for ResultKey {
    type Value = ExamResult;
    type Head = ResultAccess;
    const LIFE: Life = Life::hours(2);

    fn redis_key(&self) -> String {
        format!("result:{}", self.0)
    }
}

/// `user:{id}:profile`: a public profile, for 1 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProfileKey(pub UserId);

impl CacheKey for ProfileKey {
    type Value = Profile;
    type Head = ();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        format!("user:{}:profile", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "018f4e3a-0000-7000-8000-000000000001";

    fn check<K: CacheKey>(key: &K, name: &str, hours: u64) {
        assert_eq!(key.redis_key(), name.replace("{id}", ID));
        assert_eq!(K::LIFE.fresh, Duration::from_hours(hours), "{name}");
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
