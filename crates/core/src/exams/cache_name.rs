//! Names of cached values: one place for the code that caches them and for [`Change`](crate::Change), which invalidates
//! them.

use std::fmt;

use crate::{ExamId, QuestionId, ResultId, UserId};

/// Beginnings of all names, up to their first colon.
pub const KEY_SPACES: &[&str] = &["exam:", "question:", "result:", "user:"];

/// Name of a cached value in Redis, without `CACHE_PREFIX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheName {
    /// `exam:{id}`: one exam.
    Exam(ExamId),
    /// `exam:{id}:questions`: its question sheet as students see it.
    QuestionSheet(ExamId),
    /// `question:{id}`: one question as students see it.
    Question(QuestionId),
    /// `result:{id}`: one result.
    Result(ResultId),
    /// `user:{id}:profile`: a public profile.
    Profile(UserId),
}

impl fmt::Display for CacheName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exam(id) => write!(f, "exam:{id}"),
            Self::QuestionSheet(id) => write!(f, "exam:{id}:questions"),
            Self::Question(id) => write!(f, "question:{id}"),
            Self::Result(id) => write!(f, "result:{id}"),
            Self::Profile(id) => write!(f, "user:{id}:profile"),
        }
    }
}
