//! An SMTP server (RFC 5321) that keeps what it accepted, and misbehaves on request.
//!
//! What it has kept is the truth: a mail that is not there was not delivered, one that is there twice was delivered twice.

mod session;
mod tls;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use socket2::SockRef;
use tokio::{net::TcpListener, sync::watch};

use self::session::Session;
pub(crate) use self::tls::Certificate;
use crate::eventually;

/// A mail that the server has answered with 250: from then on it is responsible for it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients that were accepted.
    pub to: Vec<String>,
    /// The message as it was sent, dot-stuffing undone.
    pub message: String,
    /// When it was accepted.
    pub at: SystemTime,
}

/// Whether the same was received, whenever that was.
impl PartialEq for Received {
    fn eq(&self, other: &Self) -> bool {
        (&self.from, &self.to, &self.message) == (&other.from, &other.to, &other.message)
    }
}

impl Eq for Received {}

impl Received {
    /// The value of a header field, unfolded; the first one of that name.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.message.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
        head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

/// A point of the dialogue at which the server is about to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The connection is made.
    Greeting,
    /// After EHLO or HELO.
    Ehlo,
    /// After STARTTLS.
    StartTls,
    /// After AUTH, and after each answer to a question of it.
    Auth,
    /// After MAIL FROM.
    Mail,
    /// After RCPT TO.
    Rcpt,
    /// After DATA.
    Data,
    /// At the first line of a message: a server that hangs here reads no more of it.
    Body,
    /// After the end of data (`.`).
    EndOfData,
    /// After RSET, NOOP, VRFY or QUIT.
    Other,
}

/// What the server does at a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// What a good server does.
    Proceed,
    /// Answers this instead, for example `"452 4.2.2 mailbox full"`. A mail so answered is kept only if it is a 2yz. In the
    /// middle of a message the server then reads no more of it, and closes the connection.
    Reply(String),
    /// Closes the connection without an answer.
    Close,
    /// Answers nothing, until [`SmtpServer::behave`] gives it another behaviour.
    Hang,
    /// Proceeds after this time.
    Wait(Duration),
    /// At the end of data: keeps the mail, and closes the connection without saying so.
    KeepAndClose,
    /// At the end of data: keeps the mail, and never says so.
    KeepAndHang,
}

/// How connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// By STARTTLS (RFC 3207).
    StartTls,
    /// From the first byte on (RFC 8314).
    Implicit,
}

/// What the server offers.
#[derive(Clone, Debug)]
pub struct SmtpOptions {
    /// How connections are encrypted.
    pub encryption: Encryption,
    /// Whom its certificate is for; the server is reached as 127.0.0.1.
    pub certificate_for: String,
    /// User name and password, without which no mail is taken.
    pub log_in: Option<(String, String)>,
    /// AUTH mechanisms that are offered.
    pub mechanisms: &'static str,
    /// AUTH LOGIN's challenges, in base64.
    pub challenges: [&'static str; 2],
    /// Lines of the answer to EHLO.
    pub extensions: Vec<&'static str>,
}

impl Default for SmtpOptions {
    fn default() -> Self {
        Self {
            encryption: Encryption::None,
            certificate_for: "IP:127.0.0.1".to_owned(),
            log_in: None,
            mechanisms: "PLAIN LOGIN",
            challenges: ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"],
            extensions: vec!["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"],
        }
    }
}

/// Bytes that the system takes for a session that does not read.
const RECEIVES: usize = 64 * 1024;

/// Given the phase, the line that led there, and the recipients that the mail has so far.
type Behaviour = Arc<dyn Fn(Phase, &str, &[String]) -> Action + Send + Sync>;

/// The server; ends with the test.
#[derive(Clone)]
pub struct SmtpServer {
    address: SocketAddr,
    options: Arc<SmtpOptions>,
    certificate: Option<Arc<Certificate>>,
    received: Arc<Mutex<Vec<Received>>>,
    behaviour: watch::Sender<Behaviour>,
    /// Access tokens with which its user may log in by XOAUTH2.
    tokens: Arc<Mutex<Vec<String>>>,
    /// Every command line it was sent.
    seen: Arc<Mutex<Vec<String>>>,
    connections: watch::Sender<usize>,
    accepted: watch::Sender<usize>,
}

impl SmtpServer {
    /// Starts a good one, without TLS, on a port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::start_with(SmtpOptions::default()).await
    }

    /// Starts a good one on a port of 127.0.0.1.
    pub async fn start_with(options: SmtpOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        // Small, so that a server that reads no more of a message has not got the rest of it all the same.
        SockRef::from(&listener).set_recv_buffer_size(RECEIVES).expect("a TCP socket");
        let good: Behaviour = Arc::new(|_, _, _| Action::Proceed);
        let certificate = match options.encryption {
            Encryption::None => None,
            _ => Some(Arc::new(Certificate::make(&options.certificate_for).await)),
        };
        let server = Self {
            address: listener.local_addr().expect("a bound listener has an address"),
            options: Arc::new(options),
            certificate,
            received: Arc::default(),
            behaviour: watch::Sender::new(good),
            tokens: Arc::default(),
            seen: Arc::default(),
            connections: watch::Sender::new(0),
            accepted: watch::Sender::new(0),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a TCP stream");
                let server = accepting.clone();
                server.connections.send_modify(|open| *open += 1);
                tokio::spawn(async move {
                    let mut session = Session::new(server.clone(), stream);
                    session.run().await;
                    // Before it is closed: a client that has seen the end is not counted any more.
                    server.connections.send_modify(|open| *open -= 1);
                    drop(session);
                });
            }
        });
        server
    }

    /// As a value of `SMTP_URL`: with the login, and with the authority that vouches for its certificate.
    pub fn url(&self) -> String {
        let log_in =
            self.options.log_in.as_ref().map(|(user, password)| format!("{user}:{password}@")).unwrap_or_default();
        self.url_with(&log_in)
    }

    /// As [`url`](Self::url), with this before the host instead of the login.
    pub fn url_with(&self, log_in: &str) -> String {
        let authority = self.certificate.as_ref().map(|certificate| certificate.path().display().to_string());
        let authority = authority.unwrap_or_default();
        match self.options.encryption {
            Encryption::None => format!("smtp://{log_in}{}?tls=none", self.address),
            Encryption::StartTls => format!("smtp://{log_in}{}?tls=required&ca={authority}", self.address),
            Encryption::Implicit => format!("smtps://{log_in}{}?ca={authority}", self.address),
        }
    }

    /// From now on these access tokens are valid, and no others.
    pub fn accept_tokens(&self, tokens: &[&str]) {
        let tokens = tokens.iter().map(ToString::to_string).collect();
        *self.tokens.lock().expect("no session panicked") = tokens;
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many mails it has accepted: to wait for more.
    pub fn accepted(&self) -> watch::Receiver<usize> {
        self.accepted.subscribe()
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// How often a client has said something that starts with `command`.
    pub fn count(&self, command: &str) -> usize {
        self.seen().iter().filter(|line| line.starts_with(command)).count()
    }

    /// From now on `behaviour` says what to do at each phase, given the line that led there.
    pub fn behave(&self, behaviour: impl Fn(Phase, &str) -> Action + Send + Sync + 'static) {
        self.behaviour.send_replace(Arc::new(move |phase, line, _: &[String]| behaviour(phase, line)));
    }

    /// From now on it does `action` at `phase` of a mail to an address with this part, and is good to all others.
    pub fn treat(&self, part: &'static str, phase: Phase, action: Action) {
        self.behaviour.send_replace(Arc::new(move |now, line, to: &[String]| {
            let is_meant = now == phase && (line.contains(part) || to.iter().any(|to| to.contains(part)));
            if is_meant { action.clone() } else { Action::Proceed }
        }));
    }

    /// What it has accepted so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no session panicked").clone()
    }

    /// What it has accepted since this was called last. It is forgotten: for servers that accept for hours.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().expect("no session panicked"))
    }

    /// Every line that clients have sent outside of messages, in order.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no session panicked").clone()
    }

    /// Waits until it has accepted `count` mails and returns them.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} mails accepted"), Duration::from_mins(1), async || {
            Some(self.received()).filter(|received| received.len() >= count)
        })
        .await
    }

    /// Waits until a client has sent a line that starts with `command`.
    pub async fn wait_for_command(&self, command: &str) {
        eventually(&format!("{command} sent"), Duration::from_mins(1), async || {
            self.seen().iter().any(|line| line.starts_with(command)).then_some(())
        })
        .await;
    }
}
