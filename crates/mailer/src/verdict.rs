//! What follows from a fault: a pure decision, one table.
//!
//! | who is to blame | what follows |
//! |---|---|
//! | the provider: unreachable, overloaded, refuses our log-in or our address | no attempt is spent; its breaker opens |
//! | the recipient's mailbox, for now | the slow lane: no attempt is spent |
//! | the recipient's mailbox or the mail, for good | the job fails; the address may be suppressed |
//! | anything else, for now | an attempt is spent |
//! | nobody knows whether the mail was taken | an attempt is spent; flagged as a possible duplicate |
//! | the same, and what the server said makes no sense | no attempt is spent; its breaker opens; flagged, too |

use crate::smtp::{Fault, Kind, Phase, Reply};

/// What is to be done after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The provider's trouble, not this mail's: try another one, or later.
    Provider(Trouble),
    /// Try again after 5, 15, 30, 60 minutes, without spending an attempt.
    SlowLane,
    /// Try again as the job's options say.
    Retry,
    /// No further try can help.
    Permanent(Suppress),
    /// The mail may have been taken: try again with the same bytes.
    Ambiguous,
    /// The same, and it is the provider's trouble: every mail would meet it.
    Garbled,
}

/// What is wrong with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is away, too slow or overloaded.
    Passing,
    /// It does not want to talk to us at all.
    Blocked,
    /// Nobody could say that it is who it claims to be, or that nobody listens.
    Insecure,
    /// It refuses our log-in: nothing is sent until an operator has mended it.
    LogIn,
    /// It refuses `MAIL_FROM`: as above.
    Sender,
}

/// What a refusal says of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suppress {
    /// Nothing.
    No,
    /// That it does not exist: never to be sent to again.
    Now,
    /// That its mailbox is full: not to be sent to again where that happens often.
    WhenRepeated,
}

impl Trouble {
    /// Whether waiting alone does not mend it.
    pub(crate) fn needs_operator(self) -> bool {
        matches!(self, Self::LogIn | Self::Sender)
    }

    /// The word used in logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "unavailable",
            Self::Blocked => "blocked",
            Self::Insecure => "insecure",
            Self::LogIn => "login_refused",
            Self::Sender => "sender_refused",
        }
    }
}

impl Verdict {
    /// How final it is; of several the one with the lowest number counts.
    pub(crate) fn finality(self) -> u8 {
        match self {
            Self::Provider(_) => 0,
            Self::SlowLane => 1,
            Self::Ambiguous | Self::Garbled | Self::Retry => 2,
            Self::Permanent(_) => 3,
        }
    }

    /// What is wrong with the provider, where it is to blame.
    pub(crate) fn trouble(self) -> Option<Trouble> {
        match self {
            Self::Provider(trouble) => Some(trouble),
            Self::Garbled => Some(Trouble::Passing),
            _ => None,
        }
    }

    /// Whether the mail may have been taken.
    pub(crate) fn leaves_doubt(self) -> bool {
        matches!(self, Self::Ambiguous | Self::Garbled)
    }
}

/// Decides. `sender_is_ours`: the mail's author is `MAIL_FROM` and not one that the job names.
pub(crate) fn judge(fault: &Fault, sender_is_ours: bool) -> Verdict {
    use Verdict::{Ambiguous, Garbled, Permanent, Provider};
    match (&fault.kind, fault.phase) {
        (Kind::Untrusted(_), _) | (Kind::NotOffered(_), Phase::Tls) => Provider(Trouble::Insecure),
        (Kind::NotOffered(_), Phase::Auth) => Provider(Trouble::LogIn),
        (Kind::NotOffered(_), _) => Permanent(Suppress::No),
        (Kind::Silence(_), Phase::Dot) => Ambiguous,
        (Kind::Unreadable(_), Phase::Dot) => Garbled,
        (Kind::Silence(_) | Kind::Unreadable(_), _) => Provider(Trouble::Passing),
        (Kind::Refusal(reply), phase) => refused(phase, reply, sender_is_ours),
    }
}

fn refused(phase: Phase, reply: &Reply, sender_is_ours: bool) -> Verdict {
    use Verdict::{Permanent, Provider, Retry};
    match phase {
        Phase::Connect | Phase::Greeting | Phase::Ehlo | Phase::Tls => {
            Provider(if reply.is_final() { Trouble::Blocked } else { Trouble::Passing })
        }
        Phase::Auth => Provider(if reply.is_final() { Trouble::LogIn } else { Trouble::Passing }),
        Phase::Mail | Phase::Data if is_throttle(reply) => Provider(Trouble::Passing),
        Phase::Mail | Phase::Rcpt | Phase::Data if reply.code == 530 => Provider(Trouble::LogIn),
        Phase::Mail | Phase::Rcpt if refuses_sender(phase, reply) => {
            if sender_is_ours {
                Provider(Trouble::Sender)
            } else {
                Permanent(Suppress::No)
            }
        }
        Phase::Rcpt if reply.is_final() => Permanent(suppression(reply)),
        Phase::Rcpt if is_mailbox_busy(reply) => Verdict::SlowLane,
        Phase::Dot if is_mailbox_full(reply) => Permanent(Suppress::WhenRepeated),
        _ if reply.is_final() => Permanent(Suppress::No),
        _ => Retry,
    }
}

/// Overloaded, or told us to slow down. Amazon SES says 454 without an enhanced code.
fn is_throttle(reply: &Reply) -> bool {
    reply.code == 454 || (reply.code / 10 == 45 && matches!(reply.detail(), Some((3, 1 | 2) | (7, _))))
}

/// Where there is no enhanced code, 550 and 553 after MAIL can mean nothing but the sender. Postfix says what it has
/// against a sender after RCPT only (`smtpd_delay_reject`), in these words, with 5.1.8 or 5.7.1.
pub(crate) fn refuses_sender(phase: Phase, reply: &Reply) -> bool {
    let is_said_late = || reply.words.to_ascii_lowercase().contains("sender address rejected");
    reply.is_final()
        && match (reply.detail(), phase) {
            (Some((1, 7 | 8)), _) | (Some((7, _)), Phase::Mail) => true,
            (None, Phase::Mail) => matches!(reply.code, 550 | 553),
            _ => phase == Phase::Rcpt && is_said_late(),
        }
}

/// Whether the mail, or who sends it, is not wanted: spam, SPF, DMARC, a bad name.
pub(crate) fn is_policy(phase: Phase, reply: &Reply) -> bool {
    matches!((phase, reply.code, reply.detail()), (Phase::Rcpt | Phase::Dot, 550 | 554, Some((7, _))))
        && !refuses_sender(phase, reply)
}

/// Greylisting, a mailbox that cannot take mail now, a route that is down.
fn is_mailbox_busy(reply: &Reply) -> bool {
    reply.code / 10 == 45 && matches!(reply.detail(), Some((2, 0..=2) | (7, 1) | (4, _)))
}

fn is_mailbox_full(reply: &Reply) -> bool {
    reply.is_final() && reply.code == 552 && reply.detail() == Some((2, 2))
}

fn suppression(reply: &Reply) -> Suppress {
    match (reply.code, reply.detail()) {
        (550 | 551 | 553, Some((1, _) | (2, 1))) | (556, Some((1, 10))) => Suppress::Now,
        _ if is_mailbox_full(reply) => Suppress::WhenRepeated,
        _ => Suppress::No,
    }
}

#[cfg(test)]
mod tests;
