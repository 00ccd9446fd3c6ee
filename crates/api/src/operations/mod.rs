//! What operators see and do: the functions behind the routes and the pages of the console.
//!
//! ```text
//!   cache     what the cache does, and the keys of an exam
//!   plan      where mails of a query are looked for
//!   search    finds them in outbox, queue and ledger, a page at a time
//!   timeline  what happened to one of them
//!   retry     one failed mail, from its job or its row
//!   actions   retries, promotes, removes, releases, drops and suppresses exactly those that a query finds
//! ```

pub(crate) mod actions;
pub(crate) mod cache;
pub(crate) mod failures;
pub(crate) mod history;
mod plan;
pub(crate) mod queue;
pub(crate) mod retry;
pub(crate) mod search;
pub(crate) mod timeline;
