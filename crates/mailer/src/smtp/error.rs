//! SMTP errors, and the phase of the dialogue at which they occur.

use std::time::Instant;

use examhall_delivery::FailureSignature;

use super::{oauth::TokenError, reply::Reply};

/// Characters of a server's words that are logged.
const SHOWN: usize = 300;

/// A phase of the SMTP dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// The request for an access token.
    Token,
    /// DNS lookup and TCP connection.
    Connect,
    /// The server's first line.
    Greeting,
    /// EHLO.
    Ehlo,
    /// STARTTLS and the TLS handshake.
    Tls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The message, up to the end of data: nothing is accepted yet.
    Body,
    /// The reply to the end of data (RFC 5321): from here on the mail may have been accepted.
    EndOfData,
}

/// An error of the SMTP dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SmtpError {
    pub(crate) phase: Phase,
    pub(crate) kind: ErrorKind,
}

/// The kind of an SMTP error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The server refused (4yz, 5yz).
    Refusal(Reply),
    /// The reply is malformed, or not one that this command allows.
    UnexpectedReply(String),
    /// The server is unreachable, closed the connection, or did not reply within the timeout.
    ConnectionLost(String),
    /// The server's certificate was not accepted.
    Untrusted(String),
    /// There is no access token to log in with.
    NoToken(TokenError),
    /// All connections that the server may have are in use.
    NoConnectionFree,
    /// The server does not offer a required extension.
    NotOffered(&'static str),
}

impl Phase {
    /// Runs the step and records its duration. With pipelining the first command has the round trip.
    pub(super) async fn timed<T>(self, step: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let done = step.await;
        metrics::histogram!("mailer_smtp_phase_seconds", "phase" => self.as_str()).record(started.elapsed());
        done
    }

    /// Returns whether the phase is a part of one mail: what goes wrong may be due to this mail.
    pub(crate) fn is_of_mail(self) -> bool {
        matches!(self, Self::Mail | Self::Rcpt | Self::Data | Self::Body | Self::EndOfData)
    }

    /// Name in logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Body => "body",
            Self::EndOfData => "dot",
        }
    }
}

impl SmtpError {
    pub(crate) fn new(phase: Phase, kind: ErrorKind) -> Self {
        Self { phase, kind }
    }

    /// An error for a reply that is not the expected one. A reply to the message that contradicts itself may say that it
    /// was accepted.
    pub(super) fn unexpected(phase: Phase, reply: Reply) -> Self {
        let refuses = reply.is_refusal() && !(phase == Phase::EndOfData && reply.is_contradictory);
        let kind = if refuses { ErrorKind::Refusal(reply) } else { ErrorKind::UnexpectedReply(reply.to_string()) };
        Self { phase, kind }
    }

    /// Returns whether an idle connection had gone stale, which does not concern the mail.
    pub(super) fn is_stale_connection(&self) -> bool {
        !matches!(self.phase, Phase::Body | Phase::EndOfData)
            && match &self.kind {
                ErrorKind::ConnectionLost(_) => self.phase == Phase::Mail,
                ErrorKind::Refusal(reply) => reply.closes(),
                _ => false,
            }
    }

    /// Returns whether the server refused the login for good.
    pub(super) fn refuses_login(&self) -> bool {
        self.phase == Phase::Auth && self.refusal().is_some_and(Reply::is_final)
    }

    /// Returns whether the server was too busy to greet a new connection: worth one immediate retry.
    pub(super) fn is_busy_greeting(&self) -> bool {
        self.phase == Phase::Greeting && matches!(&self.kind, ErrorKind::Refusal(reply) if !reply.is_final())
    }

    /// The error for logs, without the server's text, which may contain an address or a user name.
    pub(crate) fn label(&self) -> String {
        let phase = self.phase.as_str();
        match &self.kind {
            ErrorKind::Refusal(reply) => format!("{} at {phase}", reply.codes()),
            ErrorKind::UnexpectedReply(_) => format!("unexpected reply at {phase}"),
            ErrorKind::NoToken(TokenError::Refused { code, .. }) => format!("access token refused: {code}"),
            _ => self.to_string(),
        }
    }

    /// What failed, without what differs from mail to mail.
    pub(super) fn signature(&self) -> FailureSignature {
        let phase = Some(self.phase.as_str().to_owned());
        let Some(reply) = self.refusal() else {
            return FailureSignature { phase, ..FailureSignature::of_reason(&self.label()) };
        };
        FailureSignature {
            phase,
            code: Some(reply.code),
            enhanced: reply.enhanced.map(|enhanced| enhanced.to_string()),
            domain: None,
            reason: None,
        }
    }

    /// The server's words for the log of its operator: without addresses. The login has removed user name and secret.
    pub(super) fn words(&self) -> Option<String> {
        let text = match &self.kind {
            ErrorKind::Refusal(reply) => &reply.text,
            ErrorKind::UnexpectedReply(text) => text,
            ErrorKind::NoToken(TokenError::Refused { words, .. }) if !words.is_empty() => words,
            _ => return None,
        };
        let hidden = |word: &str| if word.contains('@') { "(address)".to_owned() } else { word.to_owned() };
        let words = text.split_whitespace().map(hidden).collect::<Vec<_>>().join(" ");
        Some(words.chars().take(SHOWN).collect())
    }

    /// The server's 4yz or 5yz reply, if it is one.
    pub(super) fn refusal(&self) -> Option<&Reply> {
        match &self.kind {
            ErrorKind::Refusal(reply) => Some(reply),
            _ => None,
        }
    }

    /// Returns whether the server took nothing and closes the connection (421).
    pub(super) fn closes(&self) -> bool {
        self.refusal().is_some_and(Reply::closes)
    }
}

/// Shows the server's own text, if it sent any.
impl std::fmt::Display for SmtpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phase = self.phase.as_str();
        match &self.kind {
            ErrorKind::Refusal(reply) => reply.fmt(f),
            ErrorKind::UnexpectedReply(text) => write!(f, "unexpected reply at {phase}: {text}"),
            ErrorKind::ConnectionLost(reason) => write!(f, "{reason} ({phase})"),
            ErrorKind::Untrusted(reason) => write!(f, "certificate refused: {reason}"),
            ErrorKind::NoToken(error) => error.fmt(f),
            ErrorKind::NoConnectionFree => f.write_str("all its connections are in use"),
            ErrorKind::NotOffered(what) => write!(f, "the server does not offer {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(phase: Phase, text: &str) -> Option<String> {
        SmtpError::new(phase, ErrorKind::Refusal(Reply::new(550, text))).words()
    }

    #[test]
    fn words_for_the_log_hold_no_address() {
        let text = "5.7.1 <ada@example.com>:\nRelay access denied for ada@b.example";
        assert_eq!(words(Phase::Rcpt, text).expect("words"), "5.7.1 (address) Relay access denied for (address)");
        assert_eq!(words(Phase::Mail, &"no ".repeat(1_000)).map(|words| words.len()), Some(SHOWN));
    }
}
