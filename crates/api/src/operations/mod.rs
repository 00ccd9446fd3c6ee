//! What operators see and do: the functions behind the routes and the pages of the console.

pub(crate) mod actions;
pub(crate) mod cache;
pub(crate) mod failures;
pub(crate) mod history;
pub(crate) mod queue;
