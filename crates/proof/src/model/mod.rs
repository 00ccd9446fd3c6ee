//! One mail, from its commit to its end: a transition system without clocks, chance or I/O.
//!
//! ```text
//!   row (database) ── relay x2 ──> job, ledger entry (Redis) ── mailer x2 ──> SMTP server
//!        ^                               |
//!        └── listener, reconciler ───────┘            operator: retries, removes, suppresses
//! ```
//! Mails do not depend on one another here, so one is enough. [`next`] gives every step that can be done in a state, and
//! is used twice: [`search`] visits every state that can be reached, and `history` replays what a real run has written.
//!
//! A step is as small as what can be cut off: between any two of them a process may die.

mod chance;
mod effect;
pub(crate) mod search;
mod state;
mod step;

pub(crate) use self::{
    state::{End, Row, Rule, Rules, State},
    step::{Step, next},
};
