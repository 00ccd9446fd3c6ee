//! Domain types and pure decisions of Examhall.
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
//! Nothing here reads a clock, draws a random number or does I/O: time and random samples are arguments. So every rule can
//! be tested as a function, and every crate may depend on this one. It knows no Redis, SQL, HTTP or SMTP.
//!
//! Exams, questions, grading, passwords and accounts are behind the feature `exam`; cache keys, e-mail jobs, priority and
//! retry policy are always there, and know nothing of exams.
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

mod cache_key;
mod email_address;
mod email_job;
#[cfg(feature = "exam")]
mod exams;
mod priority;
mod retry;
#[cfg(feature = "schema")]
mod schema;
mod text;
mod timestamp;

pub use cache_key::{CacheKey, Life};
pub use email_address::{AccountName, BadEmailAddress, EmailAddress};
pub use email_job::{Attachment, AttachmentEncoding, BadMail, BadRecipients, EmailJob, MailClass, Recipients};
#[cfg(feature = "exam")]
pub use exams::*;
pub use priority::{BadPriority, Priority};
pub use retry::{AfterFailure, Backoff, BackoffKind, RetryPolicy};
pub use text::{BadText, check_body, check_line, is_header_text};
pub use timestamp::{BadTimestamp, Timestamp};
