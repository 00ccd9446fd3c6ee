//! SMTP session: a connection on which mails can be sent, with EHLO, TLS and login done as `SMTP_URL` says.

use std::time::{Duration, Instant};

use lettre::transport::smtp::{
    authentication::{Credentials, Mechanism},
    commands::{Auth, Ehlo, Quit, Starttls},
    extension::{ClientId, Extension, ServerInfo},
    response::{Category, Code, Detail, Response, Severity},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    error::{ErrorKind, Phase, SmtpError},
    lease::Lease,
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

/// The extensions that the server offers.
pub(super) struct Features {
    info: ServerInfo,
    /// Pipelining (RFC 2920).
    pub(super) pipelining: bool,
    /// Largest message in bytes (RFC 1870).
    pub(super) size: Option<usize>,
}

impl Session {
    /// Limits after which a connection is closed, since servers and load balancers close them as well.
    const MOST_MAILS: u32 = 100;
    pub(super) const LONGEST_LIFE: Duration = Duration::from_mins(5);
    /// Timeout of QUIT.
    const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

    pub(super) async fn open(server: &Server, timeouts: Timeouts) -> Result<Self, SmtpError> {
        let client = ClientId::default();
        let limit = timeouts.step;
        let mut wire = Phase::Connect.timed(connect(server, limit)).await?;
        if let Security::Implicit(tls) = &server.security {
            wire = encrypt(wire, tls, server, limit).await?;
        }
        let greeting =
            Phase::Greeting.timed(wire.reply(limit)).await.map_err(|kind| SmtpError::new(Phase::Greeting, kind))?;
        expect_done(Phase::Greeting, greeting)?;
        let mut features = say_hello(&mut wire, &client, limit).await?;
        if let Security::StartTls(tls) = &server.security {
            if !features.offers(Extension::StartTls) {
                return Err(SmtpError::new(Phase::Tls, ErrorKind::NotOffered("STARTTLS, which SMTP_URL requires")));
            }
            expect_done(Phase::Tls, ask(&mut wire, Phase::Tls, &Starttls.to_string(), limit).await?)?;
            wire = encrypt(wire, tls, server, limit).await?;
            features = say_hello(&mut wire, &client, limit).await?;
        }
        if let Some(credentials) = &server.credentials {
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
        if self.wire.write(Quit.to_string().as_bytes(), Self::QUIT_TIMEOUT).await.is_ok() {
            self.wire.closed(Self::QUIT_TIMEOUT).await;
        }
        let Self { wire, lease, .. } = self;
        drop(wire);
        if let Some(lease) = lease {
            lease.release().await;
        }
    }
}

impl Features {
    fn read(reply: &Reply) -> Result<Self, SmtpError> {
        let unreadable = || SmtpError::new(Phase::Ehlo, ErrorKind::UnexpectedReply(reply.to_string()));
        let words = |line: &str| line.split_whitespace().map(str::to_ascii_uppercase).collect::<Vec<_>>();
        let lines: Vec<_> = reply.lines().map(words).collect();
        let has = |keyword: &str| lines.iter().find(|line| line.first().is_some_and(|word| word == keyword));
        Ok(Self {
            info: ServerInfo::from_response(&as_response(reply)).map_err(|_| unreadable())?,
            pipelining: has("PIPELINING").is_some(),
            size: has("SIZE").and_then(|line| line.get(1)?.parse().ok()).filter(|size| *size > 0),
        })
    }

    pub(super) fn offers(&self, extension: Extension) -> bool {
        self.info.supports_feature(extension)
    }
}

async fn connect(server: &Server, limit: Duration) -> Result<Wire, SmtpError> {
    let silent = |reason: String| SmtpError::new(Phase::Connect, ErrorKind::ConnectionLost(reason));
    let connecting = timeout(limit, TcpStream::connect((server.host.as_str(), server.port))).await;
    let stream = connecting.map_err(|_| silent("no connection in time".to_owned()))?;
    let stream = stream.map_err(|error| silent(error.to_string()))?;
    // Without TCP_NODELAY each command waits for the acknowledgement of the last one: 40 ms.
    stream.set_nodelay(true).map_err(|error| silent(error.to_string()))?;
    Ok(Wire::new(stream))
}

async fn encrypt(wire: Wire, tls: &TlsConnector, server: &Server, limit: Duration) -> Result<Wire, SmtpError> {
    Phase::Tls.timed(wire.encrypt(tls, &server.host, limit)).await.map_err(|kind| SmtpError::new(Phase::Tls, kind))
}

async fn say_hello(wire: &mut Wire, client: &ClientId, limit: Duration) -> Result<Features, SmtpError> {
    let reply = ask(wire, Phase::Ehlo, &Ehlo::new(client.clone()).to_string(), limit).await?;
    Features::read(&expect_done(Phase::Ehlo, reply)?)
}

async fn log_in(
    wire: &mut Wire,
    features: &Features,
    credentials: &Credentials,
    limit: Duration,
) -> Result<(), SmtpError> {
    let mechanism = features.info.get_auth_mechanism(&[Mechanism::Plain, Mechanism::Login]);
    let unreadable = |_| SmtpError::new(Phase::Auth, ErrorKind::UnexpectedReply("a malformed challenge".to_owned()));
    let mechanism = mechanism.ok_or(SmtpError::new(Phase::Auth, ErrorKind::NotOffered("AUTH PLAIN or LOGIN")))?;
    let mut command = Auth::new(mechanism, credentials.clone(), None).map_err(unreadable)?;
    for _ in 0..3 {
        let reply = ask(wire, Phase::Auth, &command.to_string(), limit).await?;
        if !reply.is_go_on() {
            return expect_done(Phase::Auth, reply).map(drop);
        }
        command = Auth::new_from_response(mechanism, credentials.clone(), &as_response(&reply)).map_err(unreadable)?;
    }
    Err(SmtpError::new(Phase::Auth, ErrorKind::UnexpectedReply("too many challenges".to_owned())))
}

async fn ask(wire: &mut Wire, phase: Phase, command: &str, limit: Duration) -> Result<Reply, SmtpError> {
    wire.write(command.as_bytes(), limit).await.map_err(|kind| SmtpError::new(phase, kind))?;
    phase.timed(wire.reply(limit)).await.map_err(|kind| SmtpError::new(phase, kind))
}

fn expect_done(phase: Phase, reply: Reply) -> Result<Reply, SmtpError> {
    if reply.is_done() { Ok(reply) } else { Err(SmtpError::unexpected(phase, reply)) }
}

/// A reply as lettre reads extensions and challenges from it.
fn as_response(reply: &Reply) -> Response {
    let severity = if reply.is_go_on() { Severity::PositiveIntermediate } else { Severity::PositiveCompletion };
    let code = Code::new(severity, Category::Unspecified3, Detail::Four);
    Response::new(code, reply.lines().map(ToOwned::to_owned).collect())
}
