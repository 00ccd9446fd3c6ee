//! An SMTP server (RFC 5321) that keeps what it accepted, and misbehaves on request.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::eventually;

/// A mail that the server has answered with 250: from then on it is responsible for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients that were accepted.
    pub to: Vec<String>,
    /// The message as it was sent, dot-stuffing undone.
    pub message: String,
}

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
    /// The connection stands.
    Greeting,
    /// After EHLO or HELO.
    Ehlo,
    /// After MAIL FROM.
    Mail,
    /// After RCPT TO.
    Rcpt,
    /// After DATA.
    Data,
    /// After the dot that ends a message.
    Dot,
    /// After RSET, NOOP, VRFY or QUIT.
    Other,
}

/// What the server does at a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// What a good server does.
    Proceed,
    /// Answers this instead, for example `"452 4.2.2 mailbox full"`. A mail so answered is kept only if it is a 2yz.
    Reply(String),
    /// Closes the connection without an answer.
    Close,
    /// Answers nothing, until [`SmtpServer::behave`] gives it another behaviour.
    Hang,
    /// Proceeds after this time.
    Wait(Duration),
}

type Behaviour = Arc<dyn Fn(Phase, &str) -> Action + Send + Sync>;

/// The server; ends with the test.
#[derive(Clone)]
pub struct SmtpServer {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    behaviour: watch::Sender<Behaviour>,
    /// Every command line it was sent.
    seen: Arc<Mutex<Vec<String>>>,
}

impl SmtpServer {
    /// Starts a good one, without TLS, on a port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let good: Behaviour = Arc::new(|_, _| Action::Proceed);
        let server =
            Self { address, received: Arc::default(), behaviour: watch::Sender::new(good), seen: Arc::default() };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                tokio::spawn(async move { Session::new(server, stream).run().await });
            }
        });
        server
    }

    /// As a value of `SMTP_URL`.
    pub fn url(&self) -> String {
        format!("smtp://{}?tls=none", self.address)
    }

    /// From now on `behaviour` says what to do at each phase, given the line that led there.
    pub fn behave(&self, behaviour: impl Fn(Phase, &str) -> Action + Send + Sync + 'static) {
        self.behaviour.send_replace(Arc::new(behaviour));
    }

    /// What it has accepted so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no session panicked").clone()
    }

    /// Every line that clients have sent outside of messages, in order.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no session panicked").clone()
    }

    /// Waits until it has accepted `count` mails and gives them.
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

/// The rest of the dialogue makes no sense: the connection is gone.
struct Gone;

struct Session {
    server: SmtpServer,
    behaviour: watch::Receiver<Behaviour>,
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    mail: Received,
}

impl Session {
    fn new(server: SmtpServer, stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        let behaviour = server.behaviour.subscribe();
        Self { server, behaviour, read: BufReader::new(read), write, mail: Self::no_mail() }
    }

    fn no_mail() -> Received {
        Received { from: String::new(), to: Vec::new(), message: String::new() }
    }

    async fn run(mut self) {
        drop(self.dialogue().await); // it ends when either side leaves
    }

    async fn dialogue(&mut self) -> Result<(), Gone> {
        self.answer(Phase::Greeting, "", "220 test ESMTP").await?;
        loop {
            let line = self.line().await?;
            self.server.seen.lock().expect("no session panicked").push(line.clone());
            self.command(&line).await?;
        }
    }

    async fn command(&mut self, line: &str) -> Result<(), Gone> {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "HELO" => {
                let extensions = "250-test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES";
                self.answer(Phase::Ehlo, line, extensions).await?;
            }
            "MAIL" => {
                if self.answer(Phase::Mail, line, "250 2.1.0 ok").await? {
                    self.mail = Received { from: path(line), ..Self::no_mail() };
                }
            }
            "RCPT" => {
                if self.answer(Phase::Rcpt, line, "250 2.1.5 ok").await? {
                    self.mail.to.push(path(line));
                }
            }
            "DATA" if self.mail.to.is_empty() => self.send("503 5.5.1 no recipients").await?,
            "DATA" => {
                if self.answer(Phase::Data, line, "354 go on").await? {
                    self.message().await?;
                }
            }
            "RSET" => {
                self.mail = Self::no_mail();
                self.answer(Phase::Other, line, "250 2.0.0 ok").await?;
            }
            "QUIT" => {
                self.answer(Phase::Other, line, "221 2.0.0 bye").await?;
                return Err(Gone);
            }
            "NOOP" => drop(self.answer(Phase::Other, line, "250 2.0.0 ok").await?),
            _ => self.send("500 5.5.2 unknown command").await?,
        }
        Ok(())
    }

    async fn message(&mut self) -> Result<(), Gone> {
        let mut message = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            message.push_str(line.strip_prefix('.').unwrap_or(&line));
            message.push_str("\r\n");
        }
        let mail = Received { message, ..std::mem::replace(&mut self.mail, Self::no_mail()) };
        let queued = format!("250 2.0.0 queued as {}", self.server.received().len() + 1);
        if let Action::Reply(reply) = self.action(Phase::Dot, ".").await? {
            if reply.starts_with('2') {
                self.keep(mail);
            }
            return self.send(&reply).await;
        }
        // Kept before it is answered: whoever has seen the answer finds the mail.
        self.keep(mail);
        self.send(&queued).await
    }

    fn keep(&self, mail: Received) {
        self.server.received.lock().expect("no session panicked").push(mail);
    }

    /// Answers; says whether the answer was that the dialogue goes on (2yz or 3yz).
    async fn answer(&mut self, phase: Phase, line: &str, good: &str) -> Result<bool, Gone> {
        let reply = match self.action(phase, line).await? {
            Action::Reply(reply) => reply,
            _ => good.to_owned(),
        };
        self.send(&reply).await?;
        Ok(reply.starts_with(['2', '3']))
    }

    /// What to do now; waiting and hanging are over when this returns.
    async fn action(&mut self, phase: Phase, line: &str) -> Result<Action, Gone> {
        loop {
            let behaviour = Arc::clone(&self.behaviour.borrow_and_update());
            match behaviour(phase, line) {
                Action::Close => return Err(Gone),
                Action::Hang => self.behaviour.changed().await.map_err(|_| Gone)?,
                Action::Wait(time) => {
                    tokio::time::sleep(time).await;
                    return Ok(Action::Proceed);
                }
                action => return Ok(action),
            }
        }
    }

    async fn line(&mut self) -> Result<String, Gone> {
        let mut line = Vec::new();
        match self.read.read_until(b'\n', &mut line).await {
            Ok(read) if read > 0 => {
                let line = String::from_utf8_lossy(&line);
                Ok(line.trim_end_matches(['\r', '\n']).to_owned())
            }
            _ => Err(Gone),
        }
    }

    async fn send(&mut self, reply: &str) -> Result<(), Gone> {
        self.write.write_all(format!("{reply}\r\n").as_bytes()).await.map_err(|_| Gone)
    }
}

/// The address between the angle brackets of a MAIL or RCPT command.
fn path(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}
