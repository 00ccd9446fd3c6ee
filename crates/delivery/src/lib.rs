//! What Redis knows of mails, shared by every process that queues or sends them.
//!
//! ```text
//!   api ──── reads outcomes ────┐                        ┌─── is this mail sent? ──── mailer
//!                               v                        v
//!            Ledger             mail:sent:<job id>   intent, accepted, deferred, refused, held
//!            Suppressions       addresses that no mail goes to, with the reason
//!            RateLimiter        N per period, over all processes
//!            ConnectionLeases   N connections to a provider, over all processes
//! ```
//!
//! | pattern | where |
//! |---|---|
//! | delivery ledger with compare-and-swap: makes sending idempotent over crashes | [`Ledger`] |
//! | suppression list | [`Suppressions`] |
//! | generic cell rate algorithm (leaky bucket) on Redis's clock | [`RateLimiter`] |
//! | lease that expires with its holder | [`ConnectionLeases`] |
//!
//! A job can be run twice: its worker may die between the effect and the note that it is done. So the ledger outlives the
//! job, and nothing that cleans the queue removes it. The crate knows no queue, no SMTP, no SQL and no HTTP.

mod connection_leases;
mod error;
mod ledger;
mod rate_limiter;
mod script;
mod suppressions;

pub use connection_leases::ConnectionLeases;
pub use error::Error;
pub use ledger::{DeliveryState, Ledger, LedgerEntry, LedgerVersion};
pub use rate_limiter::{Permit, Rate, RateLimiter};
pub use suppressions::{Suppression, Suppressions};
