//! The tables as types. The migrations that create them document the columns.
#![expect(unreachable_pub, reason = "sea-orm's macros need their items to be pub")]

pub(crate) mod accommodation;
pub(crate) mod attempt;
pub(crate) mod cache_outbox;
pub(crate) mod exam;
pub(crate) mod former_address;
pub(crate) mod former_result;
pub(crate) mod idempotency_key;
pub(crate) mod invitation;
pub(crate) mod mail_outbox;
pub(crate) mod mail_token;
pub(crate) mod operator_action;
pub(crate) mod question;
pub(crate) mod regrade;
pub(crate) mod result;
pub(crate) mod seat;
pub(crate) mod session;
pub(crate) mod user;
