//! A connection on which mails can be sent: greeted, encrypted and logged in as `SMTP_URL` says.

use std::time::{Duration, Instant};

use lettre::transport::smtp::{
    authentication::{Credentials, Mechanism},
    commands::{Auth, Ehlo, Quit, Starttls},
    extension::{ClientId, Extension, ServerInfo},
    response::Response,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    Fault, Kind, Phase, Reply,
    lease::Lease,
    url::{Security, Server},
    wire::Wire,
};

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// One step.
    pub(crate) step: Duration,
    /// The reply to a message.
    pub(crate) dot: Duration,
}

/// An open connection. It may take another mail only where [`is_reusable`](Self::is_reusable); else it is to be dropped.
pub(super) struct Session {
    /// Closed before the lease ends: fields are dropped in this order.
    pub(super) wire: Wire,
    pub(super) limits: Limits,
    pub(super) features: Features,
    /// The last mail was refused half-way: the next one begins with RSET.
    pub(super) needs_reset: bool,
    /// Every reply so far has been read and understood.
    pub(super) in_step: bool,
    pub(super) mails: u32,
    pub(super) idle_since: Instant,
    /// One of the connections that all mailers share, where those are counted.
    pub(super) lease: Option<Lease>,
    pub(super) opened_at: Instant,
}

/// What the server can do.
pub(super) struct Features {
    info: ServerInfo,
    /// Several commands in one go (RFC 2920).
    pub(super) pipelining: bool,
    /// Largest message in bytes (RFC 1870).
    pub(super) size: Option<usize>,
}

impl Session {
    /// After so many mails or so long a connection is closed: servers and the balancers before them like that.
    const MOST_MAILS: u32 = 100;
    pub(super) const LONGEST_LIFE: Duration = Duration::from_mins(5);
    /// How long leaving may take.
    const GOODBYE: Duration = Duration::from_secs(1);

    pub(super) async fn open(server: &Server, limits: Limits) -> Result<Self, Fault> {
        let hello = ClientId::default();
        let limit = limits.step;
        let mut wire = Phase::Connect.timed(connect(server, limit)).await?;
        if let Security::Implicit(tls) = &server.security {
            wire = encrypt(wire, tls, server, limit).await?;
        }
        let greeting =
            Phase::Greeting.timed(wire.reply(limit)).await.map_err(|kind| Fault::new(Phase::Greeting, kind))?;
        done(Phase::Greeting, &greeting)?;
        let mut features = greet(&mut wire, &hello, limit).await?;
        if let Security::StartTls(tls) = &server.security {
            if !features.offers(Extension::StartTls) {
                return Err(Fault::new(Phase::Tls, Kind::NotOffered("STARTTLS, which SMTP_URL requires")));
            }
            done(Phase::Tls, &ask(&mut wire, Phase::Tls, &Starttls.to_string(), limit).await?)?;
            wire = encrypt(wire, tls, server, limit).await?;
            features = greet(&mut wire, &hello, limit).await?;
        }
        if let Some(credentials) = &server.credentials {
            log_in(&mut wire, &features, credentials, limit).await?;
        }
        let now = Instant::now();
        Ok(Self {
            wire,
            limits,
            features,
            needs_reset: false,
            in_step: true,
            mails: 0,
            idle_since: now,
            lease: None,
            opened_at: now,
        })
    }

    /// Whether it can take one more mail.
    pub(super) fn is_reusable(&self) -> bool {
        self.in_step && self.mails < Self::MOST_MAILS && self.opened_at.elapsed() < Self::LONGEST_LIFE
    }

    /// Leaves as RFC 5321 asks for, in the background.
    pub(super) fn close(self) {
        tokio::spawn(self.leave());
    }

    /// Says QUIT and waits until the server has closed the connection, or for long enough. Only then is its place free
    /// for another one: whoever takes it is not one too many for the server.
    pub(super) async fn leave(mut self) {
        if self.wire.write(Quit.to_string().as_bytes(), Self::GOODBYE).await.is_ok() {
            self.wire.closed(Self::GOODBYE).await;
        }
        let Self { wire, lease, .. } = self;
        drop(wire);
        if let Some(lease) = lease {
            lease.give_back().await;
        }
    }
}

impl Features {
    fn read(response: &Response) -> Result<Self, Fault> {
        let unreadable = || Fault::new(Phase::Ehlo, Kind::Unreadable(Reply::from(response).to_string()));
        let words = |line: &str| line.split_whitespace().map(str::to_ascii_uppercase).collect::<Vec<_>>();
        let lines: Vec<_> = response.message().map(words).collect();
        let has = |keyword: &str| lines.iter().find(|line| line.first().is_some_and(|word| word == keyword));
        Ok(Self {
            info: ServerInfo::from_response(response).map_err(|_| unreadable())?,
            pipelining: has("PIPELINING").is_some(),
            size: has("SIZE").and_then(|line| line.get(1)?.parse().ok()).filter(|size| *size > 0),
        })
    }

    pub(super) fn offers(&self, extension: Extension) -> bool {
        self.info.supports_feature(extension)
    }
}

async fn connect(server: &Server, limit: Duration) -> Result<Wire, Fault> {
    let silent = |reason: String| Fault::new(Phase::Connect, Kind::Silence(reason));
    let connecting = timeout(limit, TcpStream::connect((server.host.as_str(), server.port))).await;
    let stream = connecting.map_err(|_| silent("no connection in time".to_owned()))?;
    let stream = stream.map_err(|error| silent(error.to_string()))?;
    // Without it each command waits for the last one's acknowledgement: 40 ms.
    stream.set_nodelay(true).map_err(|error| silent(error.to_string()))?;
    Ok(Wire::new(stream))
}

async fn encrypt(wire: Wire, tls: &TlsConnector, server: &Server, limit: Duration) -> Result<Wire, Fault> {
    Phase::Tls.timed(wire.encrypt(tls, &server.host, limit)).await.map_err(|kind| Fault::new(Phase::Tls, kind))
}

async fn greet(wire: &mut Wire, hello: &ClientId, limit: Duration) -> Result<Features, Fault> {
    let response = ask(wire, Phase::Ehlo, &Ehlo::new(hello.clone()).to_string(), limit).await?;
    done(Phase::Ehlo, &response)?;
    Features::read(&response)
}

async fn log_in(wire: &mut Wire, features: &Features, credentials: &Credentials, limit: Duration) -> Result<(), Fault> {
    let mechanism = features.info.get_auth_mechanism(&[Mechanism::Plain, Mechanism::Login]);
    let unreadable = |_| Fault::new(Phase::Auth, Kind::Unreadable("a question that is none".to_owned()));
    let mechanism = mechanism.ok_or(Fault::new(Phase::Auth, Kind::NotOffered("AUTH PLAIN or LOGIN")))?;
    let mut command = Auth::new(mechanism, credentials.clone(), None).map_err(unreadable)?;
    for _ in 0..3 {
        let response = ask(wire, Phase::Auth, &command.to_string(), limit).await?;
        if !Reply::from(&response).is_go_on() {
            return done(Phase::Auth, &response);
        }
        command = Auth::new_from_response(mechanism, credentials.clone(), &response).map_err(unreadable)?;
    }
    Err(Fault::new(Phase::Auth, Kind::Unreadable("more questions than a log-in has".to_owned())))
}

async fn ask(wire: &mut Wire, phase: Phase, command: &str, limit: Duration) -> Result<Response, Fault> {
    wire.write(command.as_bytes(), limit).await.map_err(|kind| Fault::new(phase, kind))?;
    phase.timed(wire.reply(limit)).await.map_err(|kind| Fault::new(phase, kind))
}

fn done(phase: Phase, response: &Response) -> Result<(), Fault> {
    let reply = Reply::from(response);
    if reply.is_done() { Ok(()) } else { Err(Fault::unexpected(phase, reply)) }
}
