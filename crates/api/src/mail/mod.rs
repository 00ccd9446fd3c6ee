//! Mails: composed from the outbox row when it leaves the outbox, so twice the same.

mod composer;
mod contents;
mod custom;
mod mask;
mod preview;
mod seal;
mod unsubscribe;

pub(crate) use composer::{BadReplyTo, CannotCompose, MailComposer};
pub(crate) use contents::{
    EMAIL_UNDO_LIFE, INVITATION_LIFE, InvitationNews, MailTemplate, RESET_LIFE, RESULT_PUBLISHED, ResultNews,
    VERIFICATION_LIFE,
};
pub(crate) use custom::{CUSTOM, CustomMail, Delivery};
pub(crate) use mask::{masked_html, masked_text};
pub(crate) use preview::Previews;
