//! All of Examhall's SQL, on SQLite and on PostgreSQL alike.
//!
//! ```text
//!   Store ── accounts       users, mail tokens, sessions
//!        ├── exams          exams and their questions
//!        ├── invalidations  cache keys that commits make wrong, until the cache has heard of them
//!        └── outbox         mails committed with the change that causes them
//! ```
//! Every write is one transaction that is whole or not at all. Times come from the caller; tables keep them as
//! milliseconds since 1970. It must never know HTTP, Redis or SMTP.

mod accounts;
mod db;
mod entity;
mod error;
mod exams;
mod invalidation;
mod migration;
mod outbox;

pub use accounts::{Account, Accounts, NewAccount, NewMailToken, NewSession, TokenPurpose};
pub use db::Store;
pub use error::Error;
pub use exams::{ExamChange, Exams, NewExam, Versioned};
pub use invalidation::{CommitHook, Invalidation, Invalidations};
pub use outbox::{NewMail, Outbox, WaitingMail};
