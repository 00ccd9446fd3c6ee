//! What can go wrong in a dialogue, and at which step.

use std::time::Instant;

use super::Reply;

/// A step of the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Finding the server and connecting.
    Connect,
    /// Its first line.
    Greeting,
    /// EHLO.
    Ehlo,
    /// STARTTLS and the TLS handshake.
    Tls,
    /// The log-in.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The message, up to its dot: nothing is accepted yet.
    Body,
    /// The reply to the message: from the dot on it may have been accepted.
    Dot,
}

/// What went wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) phase: Phase,
    pub(crate) kind: Kind,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The server refused (4yz, 5yz).
    Refusal(Reply),
    /// It said what makes no sense here.
    Unreadable(String),
    /// It is away, closed the connection, or said nothing in time.
    Silence(String),
    /// It could not prove who it is.
    Untrusted(String),
    /// It does not offer what is needed.
    NotOffered(&'static str),
}

impl Phase {
    /// Takes the step and notes how long it took. Where commands were sent together, the first one has the round trip.
    pub(super) async fn timed<T>(self, step: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let done = step.await;
        metrics::histogram!("mailer_smtp_phase_seconds", "phase" => self.as_str()).record(started.elapsed());
        done
    }

    /// The word used in logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Body => "body",
            Self::Dot => "dot",
        }
    }
}

impl Fault {
    pub(crate) fn new(phase: Phase, kind: Kind) -> Self {
        Self { phase, kind }
    }

    /// A reply that was not the one hoped for.
    pub(super) fn unexpected(phase: Phase, reply: Reply) -> Self {
        let kind = if reply.is_refusal() { Kind::Refusal(reply) } else { Kind::Unreadable(reply.to_string()) };
        Self { phase, kind }
    }

    /// Whether a connection that had waited for this mail was of no use any more: which says nothing about the mail.
    pub(super) fn is_stale_connection(&self) -> bool {
        let before_the_dot = !matches!(self.phase, Phase::Body | Phase::Dot);
        before_the_dot
            && match &self.kind {
                Kind::Silence(_) => self.phase == Phase::Mail,
                Kind::Refusal(reply) => reply.closes(),
                _ => false,
            }
    }

    /// Whether a server that was just connected to had no time for us: worth one more try at once.
    pub(super) fn is_busy_greeting(&self) -> bool {
        self.phase == Phase::Greeting && matches!(&self.kind, Kind::Refusal(reply) if !reply.is_final())
    }

    /// What went wrong, without the server's words, in which an address or a user name may stand: for logs.
    pub(crate) fn label(&self) -> String {
        let phase = self.phase.as_str();
        match &self.kind {
            Kind::Refusal(reply) => format!("{} at {phase}", reply.codes()),
            Kind::Unreadable(_) => format!("unexpected reply at {phase}"),
            Kind::Silence(_) | Kind::Untrusted(_) | Kind::NotOffered(_) => self.to_string(),
        }
    }

    /// The basic code, where the server said one.
    pub(crate) fn code(&self) -> Option<u16> {
        match &self.kind {
            Kind::Refusal(reply) => Some(reply.code),
            _ => None,
        }
    }
}

/// In the server's own words, where it said any.
impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phase = self.phase.as_str();
        match &self.kind {
            Kind::Refusal(reply) => reply.fmt(f),
            Kind::Unreadable(text) => write!(f, "unexpected reply at {phase}: {text}"),
            Kind::Silence(reason) => write!(f, "{reason} ({phase})"),
            Kind::Untrusted(reason) => write!(f, "certificate refused: {reason}"),
            Kind::NotOffered(what) => write!(f, "the server does not offer {what}"),
        }
    }
}
