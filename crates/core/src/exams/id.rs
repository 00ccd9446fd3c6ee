//! Ids that cannot be mixed up: a `UserId` is not an `ExamId`, though both are UUIDs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// A UUID, in new rows version 7 (RFC 9562, section 5.7): ids made later sort later.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// Names an account.
    UserId;
    /// Names an exam.
    ExamId;
    /// Names a question of an exam.
    QuestionId;
    /// Names one student's sitting of an exam.
    AttemptId;
    /// Names the graded result of an attempt.
    ResultId;
    /// Names what a login begins.
    SessionId;
    /// Names a run of grading an exam's results again.
    RegradeId;
}
