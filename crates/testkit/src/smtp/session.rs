//! One connection to the server.

use std::{mem, sync::Arc, time::SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::watch,
};

use super::{Action, Behaviour, Encryption, Phase, Received, SmtpServer};

/// The rest of the dialogue makes no sense: the connection is gone.
pub(super) struct Gone;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) struct Session {
    server: SmtpServer,
    behaviour: watch::Receiver<Behaviour>,
    stream: BufReader<Box<dyn Stream>>,
    /// Replies to commands that came together are sent together (RFC 2920, 3.2), as Postfix does it.
    replies: Vec<u8>,
    mail: Received,
    is_encrypted: bool,
    is_logged_in: bool,
}

impl Session {
    pub(super) fn new(server: SmtpServer, stream: TcpStream) -> Self {
        Self {
            behaviour: server.behaviour.subscribe(),
            stream: BufReader::new(Box::new(stream)),
            replies: Vec::new(),
            mail: no_mail(),
            is_encrypted: false,
            is_logged_in: server.options.log_in.is_none(),
            server,
        }
    }

    /// Serves a client until either side leaves.
    pub(super) async fn run(&mut self) {
        drop(self.dialogue().await);
        drop(self.flush().await);
    }

    async fn dialogue(&mut self) -> Result<(), Gone> {
        if self.server.options.encryption == Encryption::Implicit {
            self.encrypt().await?;
        }
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
            "EHLO" | "HELO" => drop(self.answer(Phase::Ehlo, line, &self.extensions()).await?),
            "STARTTLS" if self.offers_starttls() => {
                if self.answer(Phase::StartTls, line, "220 2.0.0 go on").await? {
                    self.encrypt().await?;
                }
            }
            "AUTH" => self.log_in(line).await?,
            "MAIL" if !self.is_logged_in => self.send("530 5.7.0 log in first"),
            "MAIL" if !self.mail.from.is_empty() => self.send("503 5.5.1 nested MAIL"),
            "MAIL" => {
                if self.answer(Phase::Mail, line, "250 2.1.0 ok").await? {
                    self.mail = Received { from: path(line), ..no_mail() };
                }
            }
            "RCPT" if self.mail.from.is_empty() => self.send("503 5.5.1 MAIL first"),
            "RCPT" => {
                if self.answer(Phase::Rcpt, line, "250 2.1.5 ok").await? {
                    self.mail.to.push(path(line));
                }
            }
            "DATA" if self.mail.to.is_empty() => self.send("503 5.5.1 no recipients"),
            "DATA" => {
                if self.answer(Phase::Data, line, "354 go on").await? {
                    self.message().await?;
                }
            }
            "RSET" => {
                self.mail = no_mail();
                self.answer(Phase::Other, line, "250 2.0.0 ok").await?;
            }
            "QUIT" => {
                self.answer(Phase::Other, line, "221 2.0.0 bye").await?;
                return Err(Gone);
            }
            "NOOP" => drop(self.answer(Phase::Other, line, "250 2.0.0 ok").await?),
            _ => self.send("500 5.5.2 unknown command"),
        }
        Ok(())
    }

    fn extensions(&self) -> String {
        let options = &self.server.options;
        let mut words = vec!["test".to_owned()];
        words.extend(options.extensions.iter().map(ToString::to_string));
        if self.offers_starttls() {
            words.push("STARTTLS".to_owned());
        } else if options.log_in.is_some() {
            words.push(format!("AUTH {}", options.mechanisms));
        }
        let last = words.pop().unwrap_or_default();
        let lines: Vec<_> = words.iter().map(|word| format!("250-{word}\r\n")).chain([format!("250 {last}")]).collect();
        lines.concat()
    }

    fn offers_starttls(&self) -> bool {
        self.server.options.encryption == Encryption::StartTls && !self.is_encrypted
    }

    async fn encrypt(&mut self) -> Result<(), Gone> {
        let certificate = self.server.certificate.clone().expect("a server with TLS has a certificate");
        self.flush().await?;
        let nothing = BufReader::new(Box::new(tokio::io::empty()) as Box<dyn Stream>);
        let plain = mem::replace(&mut self.stream, nothing).into_inner();
        let stream = certificate.acceptor().accept(plain).await.map_err(|_| Gone)?;
        (self.stream, self.is_encrypted) = (BufReader::new(Box::new(stream) as Box<dyn Stream>), true);
        Ok(())
    }

    /// AUTH PLAIN and XOAUTH2 in one line, AUTH LOGIN in three; the words are compared in base64.
    async fn log_in(&mut self, line: &str) -> Result<(), Gone> {
        let Some((user, password)) = self.server.options.log_in.clone() else {
            self.send("503 5.5.1 no");
            return Ok(());
        };
        if let [_, "XOAUTH2", response] = line.split(' ').collect::<Vec<_>>().as_slice() {
            return self.log_in_by_token(&user, response).await;
        }
        let given = match line.split(' ').collect::<Vec<_>>().as_slice() {
            [_, "PLAIN", response] => vec![(*response).to_owned()],
            [_, "LOGIN"] => {
                let mut answers = Vec::new();
                for challenge in self.server.options.challenges {
                    self.send(&format!("334 {challenge}"));
                    answers.push(self.line().await?);
                }
                answers
            }
            _ => Vec::new(),
        };
        let plain = [BASE64_STANDARD.encode(format!("\0{user}\0{password}"))];
        let good = given == plain || given == [&user, &password].map(|text| BASE64_STANDARD.encode(text));
        let reply = if good { "235 2.7.0 welcome" } else { "535 5.7.8 wrong user name or password" };
        let welcome = self.answer(Phase::Auth, "AUTH", reply).await?;
        self.is_logged_in = welcome && good;
        Ok(())
    }

    /// A refused token is answered with a challenge that says why, which the client acknowledges with an empty line.
    async fn log_in_by_token(&mut self, user: &str, response: &str) -> Result<(), Gone> {
        let given = |token: &String| BASE64_STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
        let good = self.server.tokens.lock().expect("no session panicked").iter().any(|token| given(token) == response);
        if !good {
            self.send(&format!("334 {}", BASE64_STANDARD.encode(r#"{"status":"401","schemes":"bearer"}"#)));
            if !self.line().await?.is_empty() {
                self.send("501 5.5.2 an empty line was expected");
                return Ok(());
            }
        }
        let reply =
            if good { "235 2.7.0 welcome".to_owned() } else { format!("535 5.7.3 {user} is not authenticated") };
        let welcome = self.answer(Phase::Auth, "AUTH", &reply).await?;
        self.is_logged_in = welcome && good;
        Ok(())
    }

    async fn message(&mut self) -> Result<(), Gone> {
        let mut message = String::new();
        loop {
            let line = self.line().await?;
            if message.is_empty()
                && let Action::Reply(reply) = self.action(Phase::Body, &line).await?
            {
                self.send(&reply);
                return Err(Gone);
            }
            if line == "." {
                break;
            }
            message.push_str(line.strip_prefix('.').unwrap_or(&line));
            message.push_str("\r\n");
        }
        let action = self.action(Phase::EndOfData, ".").await?;
        let mail = Received { message, at: SystemTime::now(), ..mem::replace(&mut self.mail, no_mail()) };
        match action {
            Action::Reply(reply) => {
                if reply.starts_with('2') {
                    self.keep(mail);
                }
                self.send(&reply);
            }
            Action::KeepAndClose => {
                self.keep(mail);
                return Err(Gone);
            }
            Action::KeepAndHang => {
                self.keep(mail);
                self.line().await?; // until the client leaves
            }
            // Kept before it is answered: a client that has seen the answer finds the mail.
            _ => {
                let number = self.keep(mail);
                self.send(&format!("250 2.0.0 queued as {number}"));
            }
        }
        Ok(())
    }

    fn keep(&self, mail: Received) -> usize {
        let mut received = self.server.received.lock().expect("no session panicked");
        received.push(mail);
        self.server.accepted.send_modify(|accepted| *accepted += 1);
        *self.server.accepted.borrow()
    }

    /// Answers; returns whether the answer was that the dialogue goes on (2yz or 3yz).
    async fn answer(&mut self, phase: Phase, line: &str, good: &str) -> Result<bool, Gone> {
        let reply = match self.action(phase, line).await? {
            Action::Reply(reply) => reply,
            _ => good.to_owned(),
        };
        self.send(&reply);
        Ok(reply.starts_with(['2', '3']))
    }

    /// What to do now; waiting and hanging are over when this returns.
    async fn action(&mut self, phase: Phase, line: &str) -> Result<Action, Gone> {
        loop {
            let behaviour = Arc::clone(&self.behaviour.borrow_and_update());
            match behaviour(phase, line, &self.mail.to) {
                Action::Close => return Err(Gone),
                Action::Hang => {
                    self.flush().await?;
                    self.behaviour.changed().await.map_err(|_| Gone)?;
                }
                Action::Wait(time) => {
                    self.flush().await?;
                    tokio::time::sleep(time).await;
                    return Ok(Action::Proceed);
                }
                action => return Ok(action),
            }
        }
    }

    async fn line(&mut self) -> Result<String, Gone> {
        if !self.stream.buffer().contains(&b'\n') {
            self.flush().await?;
        }
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line).await {
            Ok(read) if read > 0 => {
                let line = String::from_utf8_lossy(&line);
                Ok(line.trim_end_matches(['\r', '\n']).to_owned())
            }
            _ => Err(Gone),
        }
    }

    fn send(&mut self, reply: &str) {
        self.replies.extend_from_slice(reply.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        let stream = self.stream.get_mut();
        stream.write_all(&mem::take(&mut self.replies)).await.map_err(|_| Gone)?;
        stream.flush().await.map_err(|_| Gone)
    }
}

fn no_mail() -> Received {
    Received { from: String::new(), to: Vec::new(), message: String::new(), at: SystemTime::UNIX_EPOCH }
}

/// The address between the angle brackets of a MAIL or RCPT command.
fn path(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}
