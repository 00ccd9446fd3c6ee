//! What our mails say. Composed when a row leaves the outbox, from what stands in it, so twice the same.

mod custom;
mod letter;
mod seal;
mod templates;

pub(crate) use custom::{CUSTOM, CustomMail, Delivery};
pub(crate) use letter::{
    CannotCompose, Letter, Mailroom, NAMES, RESET_LIFE, RESULT_PUBLISHED, ResultNews, VERIFICATION_LIFE, preview,
};
