//! The SMTP transaction of one mail, in two halves: the envelope, and the message.
//!
//! With pipelining (RFC 2920) each half is one round trip: `MAIL, RCPT, DATA`, then the message.

use std::time::Duration;

use lettre::{
    Address,
    transport::smtp::{
        commands::{Data, Mail, Rcpt, Rset},
        extension::{MailBodyParameter, MailParameter},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    error::{ErrorKind, Phase, SmtpError},
    reply::Reply,
    session::{Dialogue, Session},
};
use crate::message::PreparedMail;

/// Longest wait for a reply to a message that could not be sent to its end.
const EARLY_REPLY: Duration = Duration::from_secs(1);

/// How long a stopping mailer waits for the reply to a message; its worker waits 60 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(50);

/// The recipients of a mail, once the server waits for the message.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) accepted: Vec<String>,
    pub(crate) rejected: Vec<RcptRefusal>,
}

/// A refused RCPT.
#[derive(Clone, Debug)]
pub(crate) struct RcptRefusal {
    pub(crate) address: String,
    pub(crate) reply: Reply,
}

/// Why the server does not wait for the message.
#[derive(Debug)]
pub(crate) enum EnvelopeError {
    /// The dialogue failed.
    Smtp(SmtpError),
    /// Every recipient was refused.
    AllRefused(Vec<RcptRefusal>),
}

impl From<SmtpError> for EnvelopeError {
    fn from(error: SmtpError) -> Self {
        Self::Smtp(error)
    }
}

impl Session {
    /// Sends sender and recipients; afterwards the server waits for the message.
    pub(super) async fn envelope(&mut self, mail: &PreparedMail) -> Result<Envelope, EnvelopeError> {
        let mail_command = Mail::new(Some(mail.from.clone()), self.parameters(mail)?).to_string();
        let recipients: Vec<_> = mail.to.iter().map(|to| Rcpt::new(to.clone(), vec![]).to_string()).collect();
        let reset = match std::mem::replace(&mut self.dialogue, Dialogue::Lost) {
            Dialogue::NeedsReset => Some(Rset.to_string()),
            Dialogue::Ready | Dialogue::Lost => None,
        };
        if self.features.pipelining {
            let reset = reset.clone().unwrap_or_default();
            let batch = [reset, mail_command.clone(), recipients.concat(), Data.to_string()];
            self.write(Phase::Mail, &batch.concat()).await?;
        }
        if let Some(reset) = reset
            && self.exchange(Phase::Mail, &reset).await?.code != 250
        {
            // Treated as a closed connection: the server might read the next mail as a part of the last one.
            let kind = ErrorKind::ConnectionLost("the server did not reset the dialogue".to_owned());
            return Err(SmtpError::new(Phase::Mail, kind).into());
        }
        let answer = self.exchange(Phase::Mail, &mail_command).await?;
        if !answer.is_done() {
            let closes = answer.closes();
            let error = SmtpError::unexpected(Phase::Mail, answer);
            if error.refusal().is_some() && !closes && self.skip_replies(recipients.len()).await {
                self.dialogue = Dialogue::Ready;
            }
            return Err(error.into());
        }
        let mut envelope = Envelope::default();
        for (address, command) in mail.to.iter().zip(&recipients) {
            let answer = self.exchange(Phase::Rcpt, command).await?;
            envelope.add(address, answer)?;
        }
        self.data(envelope).await
    }

    async fn data(&mut self, envelope: Envelope) -> Result<Envelope, EnvelopeError> {
        let all_refused = envelope.accepted.is_empty();
        if all_refused && !self.features.pipelining {
            self.dialogue = Dialogue::NeedsReset;
            return Err(EnvelopeError::AllRefused(envelope.rejected));
        }
        let answer = self.exchange(Phase::Data, &Data.to_string()).await?;
        // If the server waits for a message without recipients, the connection is closed rather than used.
        if answer.is_refusal() && !answer.closes() {
            self.dialogue = Dialogue::NeedsReset;
        }
        if all_refused {
            return Err(EnvelopeError::AllRefused(envelope.rejected));
        }
        if !answer.is_go_on() {
            return Err(SmtpError::unexpected(Phase::Data, answer).into());
        }
        Ok(envelope)
    }

    /// Sends the message and waits for the reply; only 2yz is acceptance.
    ///
    /// The reply may take 10 minutes (RFC 5321, section 4.5.3.2.6): once it is late, a server may well deliver the mail. A
    /// mailer that is `stopping` cannot wait as long.
    pub(super) async fn message(
        &mut self,
        mail: &PreparedMail,
        stopping: &CancellationToken,
    ) -> Result<Reply, SmtpError> {
        let message = dot_stuffed(&mail.bytes);
        if let Err(kind) = Phase::Body.timed(self.wire.write(&message, self.timeouts.step)).await {
            // A server that does not want the rest may have replied before it closed the connection.
            return Err(match self.wire.reply(self.timeouts.step.min(EARLY_REPLY)).await {
                Ok(reply) if reply.is_refusal() => SmtpError::unexpected(Phase::Body, reply),
                _ => SmtpError::new(Phase::Body, kind),
            });
        }
        let stopped = async {
            stopping.cancelled().await;
            tokio::time::sleep(STOP_TIMEOUT).await;
        };
        let answer = Phase::EndOfData.timed(async {
            tokio::select! {
                answer = self.wire.reply(self.timeouts.end_of_data) => answer,
                () = stopped => Err(ErrorKind::ConnectionLost("no answer before the mailer stopped".to_owned())),
            }
        });
        let answer = answer.await;
        let reply = answer.map_err(|kind| SmtpError::new(Phase::EndOfData, kind))?;
        self.mails += 1;
        let is_clear = !reply.is_contradictory && (reply.is_done() || reply.is_refusal());
        if is_clear && !reply.closes() {
            self.dialogue = Dialogue::Ready;
        }
        if is_clear && reply.is_done() { Ok(reply) } else { Err(SmtpError::unexpected(Phase::EndOfData, reply)) }
    }

    /// Asks whether the server accepts mails from this address.
    pub(super) async fn try_sender(&mut self, from: &Address) -> Result<(), SmtpError> {
        self.dialogue = Dialogue::Lost;
        self.write(Phase::Mail, &Mail::new(Some(from.clone()), vec![]).to_string()).await?;
        let answer = self.read(Phase::Mail).await?;
        if !answer.closes() {
            self.dialogue = Dialogue::NeedsReset;
        }
        if answer.is_done() { Ok(()) } else { Err(SmtpError::unexpected(Phase::Mail, answer)) }
    }

    fn parameters(&self, mail: &PreparedMail) -> Result<Vec<MailParameter>, SmtpError> {
        let not_offered = |what| SmtpError::new(Phase::Mail, ErrorKind::NotOffered(what));
        let mut parameters = Vec::new();
        if let Some(largest) = self.features.size {
            if mail.bytes.len() > largest {
                return Err(not_offered("to take a mail of this size"));
            }
            parameters.push(MailParameter::Size(mail.bytes.len()));
        }
        if [&mail.from].into_iter().chain(&mail.to).any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
            if !self.features.smtputf8 {
                return Err(not_offered("SMTPUTF8, which a non-ASCII address needs"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !mail.bytes.is_ascii() {
            if !self.features.eight_bit {
                return Err(not_offered("8BITMIME, which non-ASCII text needs"));
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    /// Reads the replies to commands that were pipelined after a refused MAIL; returns whether all are as expected.
    async fn skip_replies(&mut self, recipients: usize) -> bool {
        if !self.features.pipelining {
            return true;
        }
        for _ in 0..recipients {
            if self.read(Phase::Rcpt).await.is_err() {
                return false;
            }
        }
        self.read(Phase::Data).await.is_ok_and(|answer| answer.is_refusal() && !answer.closes())
    }

    /// Sends a command, unless it was pipelined before, and reads the reply.
    async fn exchange(&mut self, phase: Phase, command: &str) -> Result<Reply, SmtpError> {
        if !self.features.pipelining {
            self.write(phase, command).await?;
        }
        self.read(phase).await
    }

    async fn read(&mut self, phase: Phase) -> Result<Reply, SmtpError> {
        phase.timed(self.wire.reply(self.timeouts.step)).await.map_err(|kind| SmtpError::new(phase, kind))
    }

    async fn write(&mut self, phase: Phase, text: &str) -> Result<(), SmtpError> {
        self.wire.write(text.as_bytes(), self.timeouts.step).await.map_err(|kind| SmtpError::new(phase, kind))
    }
}

impl Envelope {
    fn add(&mut self, address: &Address, reply: Reply) -> Result<(), SmtpError> {
        let address = address.to_string();
        if reply.is_done() {
            self.accepted.push(address);
        } else if reply.is_refusal() && !reply.closes() {
            self.rejected.push(RcptRefusal { address, reply });
        } else {
            return Err(SmtpError::unexpected(Phase::Rcpt, reply));
        }
        Ok(())
    }
}

/// The message with dot stuffing and the end of data (RFC 5321, section 4.5.2).
fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let message = message.strip_suffix(b"\r\n").unwrap_or(message);
    let mut text = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            text.push(b'.');
        }
        text.extend_from_slice(line);
    }
    text.extend_from_slice(b"\r\n.\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_begin_with_a_dot_are_stuffed() {
        assert_eq!(dot_stuffed(b"a\r\n.\r\n..b\r\nc."), b"a\r\n..\r\n...b\r\nc.\r\n.\r\n");
        assert_eq!(dot_stuffed(b"a\r\n"), b"a\r\n.\r\n");
        assert_eq!(dot_stuffed(b""), b"\r\n.\r\n");
    }
}
