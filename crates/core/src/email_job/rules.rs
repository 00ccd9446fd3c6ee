//! Validation of a mail before it is queued. Every valid mail can be sent: the mailer's message builder accepts it.

use super::{BadRecipients, EmailJob, Recipients};
use crate::{BadEmailAddress, BadText, EmailAddress, check_body, check_line};

/// Why a mail is not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMail {
    /// It has no recipient, or too many.
    #[error(transparent)]
    Recipients(#[from] BadRecipients),
    /// One of its recipients has no address.
    #[error(transparent)]
    Address(#[from] BadEmailAddress),
    /// Its subject or a body holds what it cannot.
    #[error(transparent)]
    Text(#[from] BadText),
    /// Its subject is too long.
    #[error("must have at most {max} characters", max = EmailJob::MAX_SUBJECT)]
    Subject,
    /// A body is too long.
    #[error("must have at most {max} characters", max = EmailJob::MAX_BODY)]
    Body,
}

impl EmailJob {
    /// Longest subject of a mail that is queued, in characters.
    pub const MAX_SUBJECT: usize = 500;
    /// Longest body of a mail that is queued, in characters: of the HTML, and of the plain one.
    pub const MAX_BODY: usize = 500_000;

    /// Checks a mail that is to be queued.
    ///
    /// # Errors
    /// Returns [`BadMail`], the first reason of several.
    pub fn check(&self) -> Result<(), BadMail> {
        self.check_recipients()?;
        for recipients in [&self.to, &self.cc, &self.bcc] {
            parse_each(recipients)?;
        }
        Self::check_subject(&self.subject)?;
        Self::check_body(&self.html)?;
        self.text.as_deref().map_or(Ok(()), Self::check_body)
    }

    /// Parses whom a mail is to go to: plain addresses, in the form in which they are queued.
    ///
    /// # Errors
    /// Returns [`BadMail`] if they are none, too many, or one is no address.
    pub fn parse_recipients(to: &Recipients) -> Result<Vec<EmailAddress>, BadMail> {
        Self { to: Recipients(vec![String::new(); to.0.len()]), ..Self::default() }.check_recipients()?;
        parse_each(to)
    }

    /// Checks a subject.
    ///
    /// # Errors
    /// Returns [`BadMail`] if it is not one visible line or too long.
    pub fn check_subject(subject: &str) -> Result<(), BadMail> {
        check_line(subject)?;
        if subject.chars().nth(Self::MAX_SUBJECT).is_some() { Err(BadMail::Subject) } else { Ok(()) }
    }

    /// Checks a body.
    ///
    /// # Errors
    /// Returns [`BadMail`] if it holds the character NUL or is too long.
    pub fn check_body(body: &str) -> Result<(), BadMail> {
        check_body(body)?;
        if body.chars().nth(Self::MAX_BODY).is_some() { Err(BadMail::Body) } else { Ok(()) }
    }
}

fn parse_each(recipients: &Recipients) -> Result<Vec<EmailAddress>, BadMail> {
    Ok(recipients.0.iter().map(|one| EmailAddress::parse(one)).collect::<Result<_, _>>()?)
}
