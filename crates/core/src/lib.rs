//! The pure heart of Examhall: what things are and what follows from what.
//!
//! ```text
//!   a request, a row, a job          a decision
//!            |                            ^
//!            v                            |
//!   EmailAddress::parse             RetryPolicy::after_failure
//!   Priority::new        ------->   ExamAccess::is_open
//!   EmailJob, Question              Question::for_student
//! ```
//!
//! Nothing here reads a clock, throws dice or does I/O: time and chance are arguments. So every rule can be tested as
//! a function, and every crate may stand on this one. It must never know Redis, SQL, HTTP or SMTP.
//!
//! ```
//! use examhall_core::{AfterFailure, Backoff, RetryPolicy};
//! use std::time::Duration;
//!
//! let policy = RetryPolicy { attempts: 3, backoff: Backoff::exponential(Duration::from_secs(2)) };
//! assert_eq!(policy.after_failure(1, 0.5), AfterFailure::RetryAfter(Duration::from_secs(2)));
//! assert_eq!(policy.after_failure(2, 0.5), AfterFailure::RetryAfter(Duration::from_secs(4)));
//! assert_eq!(policy.after_failure(3, 0.5), AfterFailure::GiveUp);
//! ```

mod attempt;
mod cache_key;
mod change;
mod email_address;
mod email_job;
mod exam;
mod folding;
mod grading;
mod id;
mod number;
mod order;
mod password;
mod patch;
mod person_name;
mod priority;
mod question;
mod question_rules;
mod result;
mod retry;
mod statistics;
mod text;
mod timestamp;
mod user;

pub use attempt::{Answer, AnswerValue, Attempt};
pub use cache_key::{CacheKey, ExamKey, KEY_SPACES, Life, ProfileKey, QuestionKey, QuestionSheetKey, ResultKey};
pub use change::Change;
pub use email_address::{AccountName, BadEmailAddress, EmailAddress};
pub use email_job::{Attachment, AttachmentEncoding, BadMail, BadRecipients, EmailJob, MailClass, Recipients};
pub use exam::{BadExamStatus, Exam, ExamAccess, ExamStatus, Sight};
pub use grading::{AnswerKey, Grade, Mark, Ungraded, WhyUngraded};
pub use id::{AttemptId, ExamId, QuestionId, ResultId, UserId};
pub use order::{OrderedQuestion, shuffled};
pub use password::{BadPassword, check_password, prepared_password};
pub use patch::Patch;
pub use person_name::{BadName, check_name};
pub use priority::{BadPriority, Priority};
pub use question::{Choice, Question, QuestionKind, QuestionSheet, StudentChoice, StudentKind, StudentQuestion};
pub use question_rules::{Fault, MAX_QUESTIONS};
pub use result::{ExamResult, ResultAccess};
pub use retry::{AfterFailure, Backoff, BackoffKind, RetryPolicy};
pub use statistics::{QuestionStatistics, Statistics, StatisticsBuilder};
pub use text::{BadText, check_body, check_line, is_header_text};
pub use timestamp::{BadTimestamp, Timestamp};
pub use user::{BadRole, Profile, Role, Viewer};
