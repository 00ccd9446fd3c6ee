//! Mails: composed from the outbox row when it leaves the outbox, so twice the same.

mod composer;
mod custom;
mod seal;
mod templates;

pub(crate) use composer::{
    CannotCompose, MailComposer, MailTemplate, NAMES, RESET_LIFE, RESULT_PUBLISHED, ResultNews, VERIFICATION_LIFE,
    preview,
};
pub(crate) use custom::{CUSTOM, CustomMail, Delivery};
