//! Retry policy: classifies an SMTP error into what follows for the mail. A pure decision, one table.
//!
//! | cause | consequence |
//! |---|---|
//! | the provider: unreachable, overloaded, refuses our login or our address | no attempt is spent; its circuit opens |
//! | the recipient's mailbox, temporarily | greylist backoff: no attempt is spent |
//! | the dialogue broke off between MAIL and the end of data | one soon retry, then greylist backoff |
//! | the recipient's mailbox or the mail, permanently | the job fails; the address may be suppressed |
//! | anything else, temporarily | an attempt is spent |
//! | unknown whether the mail was accepted | an attempt is spent; flagged as a possible duplicate |
//! | the same, and the reply is garbled | no attempt is spent: one soon retry, then greylist backoff; flagged, too |
//!
//! Whether a failure that may have either cause is the provider's, follows from what others met: see `evidence`.

use std::time::Duration;

use super::{
    error::{ErrorKind, Phase, SmtpError},
    oauth::TokenError,
    our_trouble::{our_trouble, speaks_of_greylisting},
    provider_failure::ProviderFailure,
    reply::Reply,
};
use crate::message::SenderOrigin;

/// Class of a delivery failure, which decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureClass {
    /// A failure of the provider and not of this mail: try another provider, or later.
    Provider(ProviderFailure),
    /// It was not tried: other mails go first.
    PassedOver,
    /// It was not tried: a rate is used up. Try again after this time.
    RateLimited(Duration),
    /// Try again after 5, 15, 30, 60 minutes, without spending an attempt.
    Greylisted,
    /// The dialogue broke off before the message was sent: try again soon, then as if greylisted.
    BrokeOff,
    /// Try again as the job's options say.
    Transient,
    /// No further attempt can help.
    Permanent(Suppression),
    /// The mail may have been accepted: try again with the same bytes.
    Ambiguous,
    /// As above, without spending an attempt: soon, then as if greylisted.
    AmbiguousDeferred,
}

/// Whether a refusal suppresses the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suppression {
    /// It does not.
    No,
    /// The address does not exist: nothing is sent to it again.
    Now,
    /// The mailbox is full: nothing is sent to it again if that is repeated.
    WhenRepeated,
}

impl FailureClass {
    /// Rank of the class; of several refusals the one with the lowest rank counts.
    pub(crate) fn finality(self) -> u8 {
        match self {
            Self::Provider(_) | Self::PassedOver | Self::RateLimited(_) => 0,
            Self::Greylisted | Self::BrokeOff => 1,
            Self::Ambiguous | Self::AmbiguousDeferred | Self::Transient => 2,
            Self::Permanent(_) => 3,
        }
    }

    /// The failure of the provider, if it is the cause.
    pub(crate) fn provider_failure(self) -> Option<ProviderFailure> {
        match self {
            Self::Provider(failure) => Some(failure),
            _ => None,
        }
    }

    /// Returns whether another provider may take the mail.
    pub(crate) fn lets_others_try(self) -> bool {
        matches!(self, Self::Provider(_) | Self::PassedOver | Self::RateLimited(_) | Self::BrokeOff)
    }

    /// Returns whether the job's run fails with it.
    pub(crate) fn spends_attempt(self) -> bool {
        matches!(self, Self::Transient | Self::Permanent(_) | Self::Ambiguous)
    }

    /// Returns whether the mail may have been accepted.
    pub(crate) fn is_ambiguous(self) -> bool {
        matches!(self, Self::Ambiguous | Self::AmbiguousDeferred)
    }
}

/// Classifies an error of a mail with this sender.
pub(crate) fn classify(error: &SmtpError, sender: SenderOrigin) -> FailureClass {
    use FailureClass::{Ambiguous, AmbiguousDeferred, BrokeOff, Permanent, Provider};
    match (&error.kind, error.phase) {
        (ErrorKind::Untrusted(_), _) | (ErrorKind::NotOffered(_), Phase::Tls) => Provider(ProviderFailure::Insecure),
        (ErrorKind::NoToken(TokenError::Unavailable(_)), _) => Provider(ProviderFailure::Unavailable),
        (ErrorKind::NoToken(TokenError::Refused { .. }), _) | (ErrorKind::NotOffered(_), Phase::Auth) => {
            Provider(ProviderFailure::LoginRefused)
        }
        (ErrorKind::NotOffered(_), _) => Permanent(Suppression::No),
        (ErrorKind::ConnectionLost(_), Phase::EndOfData) => Ambiguous,
        (ErrorKind::UnexpectedReply(_), Phase::EndOfData) => AmbiguousDeferred,
        (ErrorKind::ConnectionLost(_) | ErrorKind::UnexpectedReply(_), phase) if phase.is_of_mail() => BrokeOff,
        (ErrorKind::ConnectionLost(_) | ErrorKind::UnexpectedReply(_) | ErrorKind::NoConnectionFree, _) => {
            Provider(ProviderFailure::Unavailable)
        }
        (ErrorKind::Refusal(reply), phase) => classify_refusal(phase, reply, sender),
    }
}

fn classify_refusal(phase: Phase, reply: &Reply, sender: SenderOrigin) -> FailureClass {
    use FailureClass::{Permanent, Provider, Transient};
    match phase {
        Phase::Token | Phase::Connect | Phase::Greeting | Phase::Ehlo | Phase::Tls => {
            Provider(if reply.is_final() { ProviderFailure::Blocked } else { ProviderFailure::Unavailable })
        }
        Phase::Auth => {
            Provider(if reply.is_final() { ProviderFailure::LoginRefused } else { ProviderFailure::Unavailable })
        }
        phase => match our_trouble(phase, reply) {
            Some(ProviderFailure::SenderRefused) if sender == SenderOrigin::Job => {
                if reply.is_final() {
                    Permanent(Suppression::No)
                } else {
                    Transient
                }
            }
            Some(failure) => Provider(failure),
            None => classify_others(phase, reply),
        },
    }
}

/// Classifies a refusal that concerns this mail.
fn classify_others(phase: Phase, reply: &Reply) -> FailureClass {
    use FailureClass::{Greylisted, Permanent, Transient};
    match phase {
        Phase::Rcpt if reply.is_final() => Permanent(suppression(reply)),
        _ if !reply.is_final() && speaks_of_greylisting(reply) => Greylisted,
        Phase::Rcpt if is_mailbox_busy(reply) => Greylisted,
        Phase::Body | Phase::EndOfData if is_mailbox_full(reply) => Permanent(Suppression::WhenRepeated),
        _ if reply.is_final() => Permanent(Suppression::No),
        _ => Transient,
    }
}

/// Returns whether mail or sender violate a policy: spam, SPF, DMARC, a bad reputation.
pub(crate) fn is_policy(phase: Phase, reply: &Reply) -> bool {
    matches!((phase, reply.code, reply.detail()), (Phase::Rcpt | Phase::EndOfData, 550 | 554, Some((7, _))))
        && our_trouble(phase, reply).is_none()
}

/// Returns whether the server greylists, or mailbox or route are temporarily unavailable.
fn is_mailbox_busy(reply: &Reply) -> bool {
    reply.code / 10 == 45 && matches!(reply.detail(), Some((2, 0..=2) | (7, 1) | (4, _)))
}

/// Returns whether a refusal can only concern the message: its size, its content.
pub(crate) fn concerns_message(reply: &Reply) -> bool {
    reply.code == 552 || matches!(reply.detail(), Some((2, 3) | (3, 4) | (6, _)))
}

fn is_mailbox_full(reply: &Reply) -> bool {
    reply.is_final() && reply.code == 552 && reply.detail() == Some((2, 2))
}

fn suppression(reply: &Reply) -> Suppression {
    match (reply.code, reply.detail()) {
        (550 | 551 | 553, Some((1, _) | (2, 1))) | (556, Some((1, 10))) => Suppression::Now,
        _ if is_mailbox_full(reply) => Suppression::WhenRepeated,
        _ => Suppression::No,
    }
}

#[cfg(test)]
mod tests;
