//! One dialogue with a server: each step with a time limit, each failure with the step it happened at.

use std::{error::Error as _, time::Duration};

use lettre::{
    Address,
    transport::smtp::{
        Error as SmtpError,
        authentication::Mechanism,
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
        response::{Response, Severity},
    },
};
use tokio::{net::TcpStream, time::timeout};

use super::{
    Delivered, Undelivered,
    url::{Security, Server},
};
use crate::message::Prepared;

/// Limit for the answer to the dot, below the time that a stopping worker waits (60 s).
const DOT_TIMEOUT: Duration = Duration::from_secs(50);

/// A connection that is open and, where needed, safe and logged in.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    timeout: Duration,
    server: String,
}

/// Where in the dialogue something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// TCP, TLS, greeting, EHLO, log-in.
    Connect,
    Mail,
    Rcpt,
    Data,
    /// From the first byte of the message on.
    Dot,
}

/// What went wrong.
pub(super) struct Fault {
    phase: Phase,
    kind: Kind,
}

enum Kind {
    /// The server said no: its code and words.
    Reply { is_final: bool, code: u16, words: String },
    /// It said nothing that could be understood, or nothing at all.
    Broken(String),
    /// The mail needs what the server does not offer.
    NotOffered(&'static str),
}

impl Connection {
    pub(super) async fn open(server: &Server, limit: Duration) -> Result<Self, Fault> {
        let opening = timeout(limit, open(server)).await;
        let smtp = opening.unwrap_or_else(|_| Err(Fault::broken(Phase::Connect, "no answer in time")))?;
        Ok(Self { smtp, timeout: limit, server: server.name() })
    }

    /// Sends one mail. After an error the connection must not be used again.
    pub(super) async fn send(&mut self, mail: &Prepared) -> Result<Delivered, Fault> {
        let parameters = self.mail_parameters(mail)?;
        self.command(Phase::Mail, Mail::new(Some(mail.from.clone()), parameters)).await?;
        let (accepted, rejected) = self.recipients(&mail.to).await?;
        self.command(Phase::Data, Data).await?;
        let answered = timeout(DOT_TIMEOUT, self.smtp.message(&mail.bytes)).await;
        let answer = answered
            .map_err(|_| Fault::broken(Phase::Dot, "no answer to the message in time"))?
            .map_err(|error| Fault::from_smtp(Phase::Dot, &error))?;
        if answer.code().severity != Severity::PositiveCompletion {
            return Err(Fault::broken(Phase::Dot, &format!("the message was answered by {}", words(&answer))));
        }
        Ok(Delivered { response: words(&answer), accepted, rejected, provider: self.server.clone() })
    }

    /// Names every recipient; those that the server refuses are left out as long as it takes one.
    async fn recipients(&mut self, to: &[Address]) -> Result<(Vec<String>, Vec<String>), Fault> {
        let (mut accepted, mut rejected, mut mildest) = (Vec::new(), Vec::new(), None::<Fault>);
        for recipient in to {
            match self.command(Phase::Rcpt, Rcpt::new(recipient.clone(), vec![])).await {
                Ok(_) => accepted.push(recipient.to_string()),
                Err(fault @ Fault { kind: Kind::Reply { .. }, .. }) if !fault.ends_connection() => {
                    rejected.push(recipient.to_string());
                    mildest = Some(mildest.filter(|other| !other.is_final()).unwrap_or(fault));
                }
                Err(fault) => return Err(fault),
            }
        }
        match mildest {
            Some(fault) if accepted.is_empty() => Err(fault),
            _ => Ok((accepted, rejected)),
        }
    }

    fn mail_parameters(&self, mail: &Prepared) -> Result<Vec<MailParameter>, Fault> {
        let offers = |extension| self.smtp.server_info().supports_feature(extension);
        let mut parameters = Vec::new();
        let needs_utf8 = [&mail.from].into_iter().chain(&mail.to).any(|address| !address.to_string().is_ascii());
        if needs_utf8 {
            if !offers(Extension::SmtpUtfEight) {
                return Err(Fault {
                    phase: Phase::Mail,
                    kind: Kind::NotOffered("SMTPUTF8, for an address beyond ASCII"),
                });
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !mail.bytes.is_ascii() {
            if !offers(Extension::EightBitMime) {
                return Err(Fault { phase: Phase::Mail, kind: Kind::NotOffered("8BITMIME, for text beyond ASCII") });
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    async fn command(&mut self, phase: Phase, command: impl std::fmt::Display) -> Result<Response, Fault> {
        timeout(self.timeout, self.smtp.command(command))
            .await
            .map_err(|_| Fault::broken(phase, "no answer in time"))?
            .map_err(|error| Fault::from_smtp(phase, &error))
    }
}

async fn open(server: &Server) -> Result<AsyncSmtpConnection, Fault> {
    let failed = |error: SmtpError| Fault::from_smtp(Phase::Connect, &error);
    let hello = ClientId::default();
    let address = (server.host.as_str(), server.port);
    let mut smtp = match &server.security {
        Security::Implicit(tls) => {
            AsyncSmtpConnection::connect_tokio1(address, None, &hello, Some(tls.clone()), None).await.map_err(failed)?
        }
        Security::None | Security::StartTls(_) => {
            let connected = TcpStream::connect(address).await.and_then(|stream| {
                stream.set_nodelay(true)?; // without it each command waits for the last one's acknowledgement: 40 ms
                Ok(stream)
            });
            let stream = connected.map_err(|error| Fault::broken(Phase::Connect, &error.to_string()))?;
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await.map_err(failed)?
        }
    };
    if let Security::StartTls(tls) = &server.security {
        if !smtp.can_starttls() {
            return Err(Fault { phase: Phase::Connect, kind: Kind::NotOffered("STARTTLS, which SMTP_URL requires") });
        }
        smtp.starttls(tls.clone(), &hello).await.map_err(failed)?;
    }
    if let Some(credentials) = &server.credentials {
        smtp.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await.map_err(failed)?;
    }
    Ok(smtp)
}

impl Fault {
    pub(super) fn no_server() -> Self {
        Self::broken(Phase::Connect, "there is no server")
    }

    fn broken(phase: Phase, reason: &str) -> Self {
        Self { phase, kind: Kind::Broken(reason.to_owned()) }
    }

    fn from_smtp(phase: Phase, error: &SmtpError) -> Self {
        let kind = match error.status() {
            Some(code) if error.is_permanent() || error.is_transient() => Kind::Reply {
                is_final: error.is_permanent(),
                code: code.into(),
                words: error.source().map(ToString::to_string).unwrap_or_default(),
            },
            _ => Kind::Broken(error.to_string()),
        };
        Self { phase, kind }
    }

    /// Whether the server was not told anything about a mail yet.
    pub(super) fn before_the_mail(&self) -> bool {
        self.phase == Phase::Connect
    }

    /// Whether a connection that was open for a while turned out to be of no use.
    pub(super) fn is_stale_connection(&self) -> bool {
        self.phase == Phase::Mail && (matches!(self.kind, Kind::Broken(_)) || self.ends_connection())
    }

    /// 421: the server closes the connection, whatever was asked (RFC 5321, section 3.8).
    fn ends_connection(&self) -> bool {
        matches!(self.kind, Kind::Reply { code: 421, .. })
    }

    /// Whether trying again cannot help: the server said so of this mail, not of us.
    fn is_final(&self) -> bool {
        self.phase != Phase::Connect && matches!(self.kind, Kind::Reply { is_final: true, .. } | Kind::NotOffered(_))
    }
}

impl From<Fault> for Undelivered {
    fn from(fault: Fault) -> Self {
        let (is_final, is_broken) = (fault.is_final(), matches!(fault.kind, Kind::Broken(_)));
        Self {
            is_final,
            is_ambiguous: fault.phase == Phase::Dot && is_broken,
            is_provider: fault.phase == Phase::Connect || is_broken,
            reason: match fault.kind {
                Kind::Reply { code, words, .. } => format!("{code} {words}"),
                Kind::Broken(reason) => reason,
                Kind::NotOffered(what) => format!("the server does not offer {what}"),
            },
        }
    }
}

fn words(response: &Response) -> String {
    format!("{} {}", response.code(), response.message().collect::<Vec<_>>().join(" "))
}
