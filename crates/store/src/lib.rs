//! All of Examhall's SQL, on SQLite and on PostgreSQL alike.
//!
//! ```text
//!   Store ── accounts       users, mail tokens, sessions
//!        ├── exams          exams
//!        ├── questions      their questions, with answer keys
//!        ├── attempts       students' sittings
//!        ├── results        what came of them
//!        ├── invalidations  cache keys that commits make wrong, until the cache has processed them
//!        ├── outbox         mails committed with the change that causes them
//!        └── audit          what operators, authors and administrators did
//! ```
//! Every write is one transaction that is whole or not at all. Times come from the caller; tables keep them as
//! milliseconds since 1970. It must never know HTTP, Redis or SMTP.

mod accommodations;
mod account_end;
mod accounts;
mod attempts;
mod audit;
mod connect;
mod console_sessions;
mod contains;
mod db;
mod deadlines;
mod editor;
mod email_change;
mod entity;
mod error;
mod exams;
mod fault;
mod idempotency;
mod invalidation;
mod mail_tokens;
mod migration;
mod outbox;
mod page;
mod password;
mod pool;
mod prune;
mod questions;
mod regrades;
mod results;
mod retirement;
mod revocations;
mod schema;
mod seats;
mod session_list;
mod sessions;
mod sign_up;
mod sorted;
mod store;
mod users;
mod versioned;

pub use accommodations::Accommodated;
pub use account_end::Deleter;
pub use accounts::{Account, AccountChange, Accounts, NewAccount, NewMailToken, TokenPurpose};
pub use attempts::{
    AttemptFilter, AttemptRow, AttemptSort, Attempts, Grading, OwnAttempt, Place, SaveReceipt, Saved, Submission,
    Submitted, Swept,
};
pub use audit::{Audit, AuditFilter, NewOperatorAction, OperatorAction};
pub use console_sessions::ConsoleSession;
pub use db::{CommitHook, CommitOutcome};
pub use editor::Editor;
pub use email_change::EmailChange;
pub use error::Error;
pub use exams::{Closed, ExamChange, ExamFilter, ExamSort, Exams, NewExam};
pub use idempotency::{FirstAnswer, IdempotentRequest};
pub use invalidation::{Invalidation, Invalidations, JournalRow};
pub use outbox::{Backlog, MailOutcome, MailPlace, MailRecord, MailRow, MailSearch, NewMail, Outbox, WaitingMail};
pub use page::{Listed, Page};
pub use password::PasswordChange;
pub use questions::{Edit, Edited, Paper, PreparedPaper, Questions};
pub use regrades::{ChangedResult, FormerResult, Regrade, RegradePreview, RegradeStep, Regrades, Regrading};
pub use results::{NamedResult, ResultFilter, ResultRow, ResultSort, Results};
pub use revocations::Revocation;
pub use schema::{MigrationMove, MigrationState, MigrationStep};
pub use seats::{
    Acceptance, Accepted, Guest, Guests, Invitation, Invited, NewInvitation, RosterChange, RosterEntry, Seat,
    SeatSource, Seats,
};
pub use session_list::LiveSession;
pub use sessions::{NewSession, NextSession, Renewed, SessionKind};
pub use sign_up::SignedUp;
pub use sorted::{KeyKind, Position, Sort, SortKey, SortedPage};
pub use store::Store;
pub use users::{UserChange, UserFilter, UserSort, UserState};
pub use versioned::Versioned;
