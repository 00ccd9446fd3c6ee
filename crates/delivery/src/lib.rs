//! What Redis knows of mails, shared by every process that queues or sends them.
//!
//! ```text
//!   api ──── reads outcomes ────┐                        ┌─── is this mail sent? ──── mailer
//!                               v                        v
//!            Ledger             mail:sent:<job id>   intent, accepted, deferred, refused, held, bounced, complained
//!            MessageNames       mail:message:<name>  job of a mail that the outside world knows by another name
//!            Reports            what providers and servers report of accepted mails: into ledger and suppressions
//!            Suppressions       addresses that no mail goes to, with the reason
//!            RateLimiter        N per period, over all processes
//!            ConnectionLeases   N connections to a provider, over all processes
//!            Fleet              heartbeats of the mailers, and when which version was deployed
//!            MailHistory        how many mails were sent, failed and deferred, by minute and hour
//!            Failures           failed mails in groups, by what failed
//!            PauseNote          who paused the queue, and why
//!            Operations         the last four, under the keys that all processes share
//! ```
//!
//! | pattern | where |
//! |---|---|
//! | delivery ledger with compare-and-swap: makes sending idempotent over crashes | [`Ledger`] |
//! | suppression list with expiry, and a limit per source | [`Suppressions`] |
//! | bounces and complaints (RFC 3464, RFC 5965, webhooks), recorded idempotently | [`Reports`] |
//! | generic cell rate algorithm (leaky bucket) on Redis's clock | [`RateLimiter`] |
//! | lease that expires with its holder | [`ConnectionLeases`] |
//!
//! A job can be run twice: its worker may die between the effect and the note that it is done. So the ledger outlives the
//! job, and nothing that cleans the queue removes it. The crate knows no queue, no SMTP, no SQL and no HTTP.

mod attempt_note;
mod connection_leases;
mod error;
mod failures;
mod fleet;
mod history;
mod ledger;
mod message_names;
mod operations;
mod pause_note;
mod quota;
mod rate_limiter;
mod report;
mod reports;
mod script;
mod suppressions;
mod used_tokens;

pub use attempt_note::{AttemptNote, NotAnAttempt};
pub use connection_leases::ConnectionLeases;
pub use error::Error;
pub use failures::{FailedMail, FailureGroup, FailureSignature, Failures};
pub use fleet::{Deploy, Fleet};
pub use history::{HistoryStep, MailBucket, MailHistory, WAIT_BOUNDS_MS};
pub use ledger::{DeliveryState, Doubt, Ledger, LedgerEntry, LedgerVersion};
pub use message_names::{JobName, MessageNames};
pub use operations::{Operations, QueueFacts};
pub use pause_note::PauseNote;
pub use quota::{Claim, Quota};
pub use rate_limiter::{Permit, Rate, RateLimiter};
pub use report::{RecipientReport, Report, ReportKind};
pub use reports::{Recorded, ReportCount, Reports};
pub use suppressions::{
    Added, BadSuppressionCursor, NewSuppression, Suppression, SuppressionCause, SuppressionCursor, SuppressionPage,
    SuppressionPolicy, Suppressions,
};
pub use used_tokens::UsedTokens;
