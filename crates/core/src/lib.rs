//! Domain types and pure decisions of Examhall.
//!
//! ```text
//!   a request, a row, a job          a decision
//!            |                            ^
//!            v                            |
//!   EmailAddress::parse             EmailJob::check
//!   Priority::new        ------->   ExamAccess::is_open
//!   EmailJob, Question              Question::for_student
//! ```
//!
//! Nothing here reads a clock, draws a random number or does I/O: time and random samples are arguments. So every rule can
//! be tested as a function, and every crate may depend on this one. It knows no Redis, SQL, HTTP or SMTP.
//!
//! Exams, questions, grading, passwords and accounts are behind the feature `exam`; cache keys, e-mail jobs and
//! priority are always there, and know nothing of exams.

mod email_address;
mod email_job;
#[cfg(feature = "exam")]
mod exams;
mod mail_health;
mod mail_query;
mod priority;
#[cfg(feature = "schema")]
mod schema;
mod text;
mod timestamp;

pub use email_address::{AccountName, BadEmailAddress, EmailAddress};
pub use email_job::{Attachment, BadMail, BadRecipients, EmailJob, MailClass, MailHeaders, NoCopy, Recipients};
#[cfg(feature = "exam")]
pub use exams::*;
pub use mail_health::{
    Circuit, ClassBacklog, HealthLevel, MailFacts, MailHealth, MailerStatus, OutboxBacklog, Pause, PriorityBacklog,
    ProviderStatus, RateUse, RecentMails, WaitingClass, backlog_by_class, bounded_count, mail_health, with_commas,
};
pub use mail_query::{BadMailQuery, MailQuery, MailState, WantedRecipient};
pub use priority::{BadPriority, Priority};
pub use text::{BadText, check_body, check_line, is_header_text};
pub use timestamp::{BadTimestamp, Timestamp};
