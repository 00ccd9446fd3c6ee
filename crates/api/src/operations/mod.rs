//! What operators see and do: the functions behind the routes and the pages of the console.

pub(crate) mod cache;
