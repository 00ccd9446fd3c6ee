//! What every route shares: errors as problem documents, bodies that are checked, one line of log per request.

pub(crate) mod authorized;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod csv;
pub(crate) mod csv_file;
pub(crate) mod csv_reader;
pub(crate) mod extract;
mod faults;
mod forwarded;
pub(crate) mod guards;
pub(crate) mod idempotency;
pub(crate) mod language;
pub(crate) mod list;
pub(crate) mod middleware;
pub(crate) mod object;
pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod public_path;
pub(crate) mod question_form;
pub(crate) mod resource;
pub(crate) mod respond;
mod schema_check;
pub(crate) mod text;
