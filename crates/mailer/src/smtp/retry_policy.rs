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

use super::{
    error::{ErrorKind, Phase, SmtpError},
    reply::Reply,
};
use crate::message::SenderOrigin;

/// Class of a delivery failure, which decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureClass {
    /// A failure of the provider and not of this mail: try another provider, or later.
    Provider(ProviderFailure),
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

/// Failure of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderFailure {
    /// It is unreachable, too slow or overloaded.
    Unavailable,
    /// It refuses the connection.
    Blocked,
    /// TLS or the certificate is missing or not trusted.
    Insecure,
    /// It refuses our login: nothing is sent until an operator fixes it.
    LoginRefused,
    /// It refuses `MAIL_FROM`: as above.
    SenderRefused,
    /// It refuses one mail after the other, to whomever, with the same codes: as above.
    RefusesAll,
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

impl ProviderFailure {
    /// Returns whether an operator has to fix it.
    pub(crate) fn needs_operator(self) -> bool {
        matches!(self, Self::LoginRefused | Self::SenderRefused | Self::RefusesAll)
    }

    /// Name in logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Blocked => "blocked",
            Self::Insecure => "insecure",
            Self::LoginRefused => "login_refused",
            Self::SenderRefused => "sender_refused",
            Self::RefusesAll => "refuses_all",
        }
    }
}

impl FailureClass {
    /// Rank of the class; of several refusals the one with the lowest rank counts.
    pub(crate) fn finality(self) -> u8 {
        match self {
            Self::Provider(_) => 0,
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
        (ErrorKind::NotOffered(_), Phase::Auth) => Provider(ProviderFailure::LoginRefused),
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
        Phase::Connect | Phase::Greeting | Phase::Ehlo | Phase::Tls => {
            Provider(if reply.is_final() { ProviderFailure::Blocked } else { ProviderFailure::Unavailable })
        }
        Phase::Auth => {
            Provider(if reply.is_final() { ProviderFailure::LoginRefused } else { ProviderFailure::Unavailable })
        }
        Phase::Mail | Phase::Data if is_throttle(reply) => Provider(ProviderFailure::Unavailable),
        Phase::Mail | Phase::Rcpt | Phase::Data if reply.code == 530 => Provider(ProviderFailure::LoginRefused),
        Phase::Mail | Phase::Rcpt if refuses_sender(phase, reply) => match sender {
            SenderOrigin::Settings => Provider(ProviderFailure::SenderRefused),
            SenderOrigin::Job => Permanent(Suppression::No),
        },
        Phase::Rcpt if reply.is_final() => Permanent(suppression(reply)),
        Phase::Rcpt if is_mailbox_busy(reply) => FailureClass::Greylisted,
        Phase::Body | Phase::EndOfData if is_mailbox_full(reply) => Permanent(Suppression::WhenRepeated),
        _ if reply.is_final() => Permanent(Suppression::No),
        _ => Transient,
    }
}

/// Returns whether the server is overloaded or throttles us. Amazon SES replies 454 without an enhanced code.
fn is_throttle(reply: &Reply) -> bool {
    reply.code == 454 || (reply.code / 10 == 45 && matches!(reply.detail(), Some((3, 1 | 2) | (7, _))))
}

/// Returns whether the server refuses the sender. Without an enhanced code, 550 and 553 after MAIL can only mean the
/// sender. Postfix refuses a sender only after RCPT (`smtpd_delay_reject`), with this text and 5.1.8 or 5.7.1.
pub(crate) fn refuses_sender(phase: Phase, reply: &Reply) -> bool {
    let is_delayed = || reply.text.to_ascii_lowercase().contains("sender address rejected");
    reply.is_final()
        && match (reply.detail(), phase) {
            (Some((1, 7 | 8)), _) | (Some((7, _)), Phase::Mail) => true,
            (None, Phase::Mail) => matches!(reply.code, 550 | 553),
            _ => phase == Phase::Rcpt && is_delayed(),
        }
}

/// Returns whether mail or sender violate a policy: spam, SPF, DMARC, a bad reputation.
pub(crate) fn is_policy(phase: Phase, reply: &Reply) -> bool {
    matches!((phase, reply.code, reply.detail()), (Phase::Rcpt | Phase::EndOfData, 550 | 554, Some((7, _))))
        && !refuses_sender(phase, reply)
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
