//! SMTP session: a connection on which mails can be sent, with EHLO, TLS and login done as `SMTP_URL` says.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use tokio_rustls::TlsConnector;

use super::{
    connect::connect,
    error::{ErrorKind, Phase, SmtpError},
    features::Features,
    lease::Lease,
    login::{Credentials, Mechanism, refuses_mechanism},
    oauth::TokenError,
    reply::Reply,
    url::{Security, Server},
    wire::Wire,
};

/// Timeouts of the dialogue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// One step.
    pub(crate) step: Duration,
    /// The reply to the end of data.
    pub(crate) end_of_data: Duration,
}

/// State of the dialogue between two mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialogue {
    /// All replies were read and understood: the next mail can begin.
    Ready,
    /// The last transaction was not completed: the next mail begins with RSET.
    NeedsReset,
    /// Replies are outstanding or were not understood: the connection must be closed.
    Lost,
}

/// An open connection. Takes another mail only if [`is_reusable`](Self::is_reusable), and is dropped otherwise.
pub(super) struct Session {
    /// Declared before the lease, so that the connection is closed before the lease is released.
    pub(super) wire: Wire,
    pub(super) timeouts: Timeouts,
    pub(super) features: Features,
    pub(super) dialogue: Dialogue,
    pub(super) mails: u32,
    pub(super) idle_since: Instant,
    /// The lease of the connection, if connections are limited.
    pub(super) lease: Option<Lease>,
    pub(super) opened_at: Instant,
}

impl Session {
    /// Limits after which a connection is closed, since servers and load balancers close them as well.
    const MOST_MAILS: u32 = 100;
    pub(super) const LONGEST_LIFE: Duration = Duration::from_mins(5);
    /// Timeout of QUIT.
    const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

    /// Opens a connection and logs in. An access token that the server refuses is renewed, once.
    pub(super) async fn open(server: &Server, timeouts: Timeouts) -> Result<Self, SmtpError> {
        let Some(access) = &server.access else { return Self::open_as(None, server, timeouts).await };
        // Before the connection: no server waits for a token server.
        let credentials = access.credentials(timeouts.step).await.map_err(no_token)?;
        let refusal = match Self::open_as(Some(&credentials), server, timeouts).await {
            Err(error) if error.refuses_login() => error,
            opened => return opened,
        };
        match access.renewed(&credentials, timeouts.step).await {
            Some(renewed) => Self::open_as(Some(&renewed.map_err(no_token)?), server, timeouts).await,
            None => Err(refusal),
        }
    }

    async fn open_as(
        credentials: Option<&Credentials>,
        server: &Server,
        timeouts: Timeouts,
    ) -> Result<Self, SmtpError> {
        let limit = timeouts.step;
        let silent = |reason: String| SmtpError::new(Phase::Connect, ErrorKind::ConnectionLost(reason));
        let stream = Phase::Connect.timed(connect(&server.host, server.port, limit)).await;
        let stream = stream.map_err(|error| silent(error.to_string()))?;
        let from = stream.local_addr().ok().map(|address| address.ip());
        let mut wire = Wire::new(stream);
        if let Security::Implicit(tls) = &server.security {
            wire = encrypt(wire, tls, server, limit).await?;
        }
        let greeting =
            Phase::Greeting.timed(wire.reply(limit)).await.map_err(|kind| SmtpError::new(Phase::Greeting, kind))?;
        expect_done(Phase::Greeting, greeting)?;
        let mut features = say_hello(&mut wire, server, from, limit).await?;
        if let Security::StartTls(tls) = &server.security {
            if !features.starttls {
                return Err(SmtpError::new(Phase::Tls, ErrorKind::NotOffered("STARTTLS, which SMTP_URL requires")));
            }
            expect_done(Phase::Tls, ask(&mut wire, Phase::Tls, "STARTTLS", limit).await?)?;
            wire = encrypt(wire, tls, server, limit).await?;
            features = say_hello(&mut wire, server, from, limit).await?;
        }
        if let Some(credentials) = credentials {
            log_in(&mut wire, &features, credentials, limit).await?;
        }
        let now = Instant::now();
        Ok(Self {
            wire,
            timeouts,
            features,
            dialogue: Dialogue::Ready,
            mails: 0,
            idle_since: now,
            lease: None,
            opened_at: now,
        })
    }

    /// Returns whether all replies were read and understood.
    pub(super) fn is_in_sync(&self) -> bool {
        self.dialogue != Dialogue::Lost
    }

    /// Returns whether the connection has taken a mail.
    pub(super) fn is_reused(&self) -> bool {
        self.mails > 0
    }

    /// Returns whether the connection can take another mail.
    pub(super) fn is_reusable(&self) -> bool {
        self.is_in_sync() && self.mails < Self::MOST_MAILS && self.opened_at.elapsed() < Self::LONGEST_LIFE
    }

    /// Sends QUIT and closes the connection, in the background.
    pub(super) fn close(self) {
        tokio::spawn(self.quit());
    }

    /// Sends QUIT, waits until the server has closed the connection or the timeout has passed, and only then releases the
    /// lease: otherwise the next connection could exceed the server's limit.
    pub(super) async fn quit(mut self) {
        if self.wire.write(b"QUIT\r\n", Self::QUIT_TIMEOUT).await.is_ok() {
            self.wire.closed(Self::QUIT_TIMEOUT).await;
        }
        let Self { wire, lease, .. } = self;
        drop(wire);
        if let Some(lease) = lease {
            lease.release().await;
        }
    }
}

async fn encrypt(wire: Wire, tls: &TlsConnector, server: &Server, limit: Duration) -> Result<Wire, SmtpError> {
    Phase::Tls.timed(wire.encrypt(tls, &server.host, limit)).await.map_err(|kind| SmtpError::new(Phase::Tls, kind))
}

/// Says EHLO, or HELO to a server that refuses EHLO (RFC 5321, section 3.2), unless an extension is needed. If both are
/// refused, the refusal of EHLO is the error.
async fn say_hello(
    wire: &mut Wire,
    server: &Server,
    from: Option<IpAddr>,
    limit: Duration,
) -> Result<Features, SmtpError> {
    let name = server.ehlo_name.on(from);
    let reply = ask(wire, Phase::Ehlo, &format!("EHLO {name}"), limit).await?;
    let is_refused = reply.code / 100 == 5;
    let refusal = match expect_done(Phase::Ehlo, reply) {
        Ok(reply) => return Ok(Features::read(&reply)),
        Err(refusal) => refusal,
    };
    let needs_extension = server.access.is_some() || matches!(server.security, Security::StartTls(_));
    if !is_refused || needs_extension {
        return Err(refusal);
    }
    match ask(wire, Phase::Ehlo, &format!("HELO {name}"), limit).await {
        Ok(reply) if reply.is_done() => Ok(Features::default()),
        _ => Err(refusal),
    }
}

async fn log_in(
    wire: &mut Wire,
    features: &Features,
    credentials: &Credentials,
    limit: Duration,
) -> Result<(), SmtpError> {
    let mut error = SmtpError::new(Phase::Auth, ErrorKind::NotOffered(credentials.proof.missing()));
    let mechanisms = credentials.proof.mechanisms().iter();
    for mechanism in mechanisms.filter(|mechanism| features.offers_login(mechanism.as_str())) {
        let reply = log_in_by(*mechanism, wire, credentials, limit).await?;
        let may_try_another = refuses_mechanism(reply.code);
        match expect_done(Phase::Auth, reply) {
            Ok(_) => return Ok(()),
            Err(refusal) => error = refusal,
        }
        if !may_try_another {
            break;
        }
    }
    Err(error)
}

/// Returns the reply that ends the login, with what a challenge said about a refusal.
async fn log_in_by(
    mechanism: Mechanism,
    wire: &mut Wire,
    credentials: &Credentials,
    limit: Duration,
) -> Result<Reply, SmtpError> {
    let mut reply = ask(wire, Phase::Auth, &mechanism.command(credentials), limit).await?;
    let mut reason = None;
    for n in 0.. {
        if !reply.is_go_on() {
            break;
        }
        reason = reason.or_else(|| mechanism.reason(&reply.text));
        let Some(answer) = mechanism.answer(credentials, n, &reply.text) else {
            let kind = ErrorKind::UnexpectedReply("too many challenges".to_owned());
            return Err(SmtpError::new(Phase::Auth, kind));
        };
        reply = ask(wire, Phase::Auth, &answer, limit).await?;
    }
    if let Some(reason) = reason.filter(|_| reply.is_refusal()) {
        reply.text = format!("{} {reason}", reply.text);
    }
    reply.text = credentials.hide(&reply.text);
    Ok(reply)
}

fn no_token(error: TokenError) -> SmtpError {
    SmtpError::new(Phase::Token, ErrorKind::NoToken(error))
}

async fn ask(wire: &mut Wire, phase: Phase, command: &str, limit: Duration) -> Result<Reply, SmtpError> {
    wire.write(format!("{command}\r\n").as_bytes(), limit).await.map_err(|kind| SmtpError::new(phase, kind))?;
    phase.timed(wire.reply(limit)).await.map_err(|kind| SmtpError::new(phase, kind))
}

fn expect_done(phase: Phase, reply: Reply) -> Result<Reply, SmtpError> {
    if reply.is_done() { Ok(reply) } else { Err(SmtpError::unexpected(phase, reply)) }
}
