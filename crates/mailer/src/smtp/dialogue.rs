//! The dialogue of one mail, in two halves: the envelope, after which nothing is sent yet, and the message.
//!
//! Where the server allows it (RFC 2920) each half is one round trip: `MAIL, RCPT, DATA` and the message.

use lettre::{
    Address,
    transport::smtp::{
        commands::{Data, Mail, Rcpt, Rset},
        extension::{Extension, MailBodyParameter, MailParameter},
    },
};

use super::{Fault, Kind, Phase, Reply, session::Session};
use crate::{message::Prepared, verdict::refuses_sender};

/// Who gets the mail, once the server waits for it.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) accepted: Vec<String>,
    pub(crate) rejected: Vec<Rejected>,
}

/// A recipient that was refused, and why.
#[derive(Clone, Debug)]
pub(crate) struct Rejected {
    pub(crate) address: String,
    pub(crate) reply: Reply,
}

/// Why the server does not wait for the message.
#[derive(Debug)]
pub(crate) enum NoEnvelope {
    /// The dialogue went wrong.
    Fault(Fault),
    /// Every recipient was refused.
    Nobody(Vec<Rejected>),
}

impl From<Fault> for NoEnvelope {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Session {
    /// Says from whom and to whom; afterwards the server waits for the message.
    pub(super) async fn envelope(&mut self, mail: &Prepared) -> Result<Envelope, NoEnvelope> {
        let mail_command = Mail::new(Some(mail.from.clone()), self.parameters(mail)?).to_string();
        let recipients: Vec<_> = mail.to.iter().map(|to| Rcpt::new(to.clone(), vec![]).to_string()).collect();
        let reset = std::mem::take(&mut self.needs_reset).then(|| Rset.to_string());
        self.in_step = false;
        let batch = self.features.pipelining;
        if batch {
            let parts =
                [reset.clone().unwrap_or_default(), mail_command.clone(), recipients.concat(), Data.to_string()];
            self.write(Phase::Mail, &parts.concat()).await?;
        }
        if let Some(reset) = reset
            && self.ask(Phase::Mail, &reset, batch).await?.code != 250
        {
            // As useless as one that the server has closed: the next mail might be taken for a part of the last one.
            return Err(
                Fault::new(Phase::Mail, Kind::Silence("the server did not reset the dialogue".to_owned())).into()
            );
        }
        let answer = self.ask(Phase::Mail, &mail_command, batch).await?;
        if !answer.is_done() {
            let closes = answer.closes();
            let fault = Fault::unexpected(Phase::Mail, answer);
            self.in_step = fault.code().is_some() && !closes && (!batch || self.skip_replies(recipients.len()).await);
            return Err(fault.into());
        }
        let mut envelope = Envelope::default();
        for (address, command) in mail.to.iter().zip(&recipients) {
            let answer = self.ask(Phase::Rcpt, command, batch).await?;
            envelope.add(address, answer)?;
        }
        self.data(envelope, batch).await
    }

    async fn data(&mut self, envelope: Envelope, batch: bool) -> Result<Envelope, NoEnvelope> {
        let nobody = envelope.accepted.is_empty();
        if nobody && !batch {
            (self.in_step, self.needs_reset) = (true, true);
            return Err(NoEnvelope::Nobody(envelope.rejected));
        }
        let answer = self.ask(Phase::Data, &Data.to_string(), batch).await?;
        // A server that waits for a message to nobody is better left than sent one.
        (self.in_step, self.needs_reset) = (answer.is_refusal() && !answer.closes(), true);
        if nobody {
            return Err(NoEnvelope::Nobody(envelope.rejected));
        }
        if !answer.is_go_on() {
            return Err(Fault::unexpected(Phase::Data, answer).into());
        }
        Ok(envelope)
    }

    /// Sends the message and waits for the answer; only a 2yz is acceptance.
    pub(super) async fn message(&mut self, mail: &Prepared) -> Result<Reply, Fault> {
        let message = stuffed(&mail.bytes);
        let sent = Phase::Body.timed(self.wire.write(&message, self.limits.step)).await;
        sent.map_err(|kind| Fault::new(Phase::Body, kind))?;
        let answer = Phase::Dot.timed(self.wire.reply(self.limits.dot)).await;
        let answer = answer.map_err(|kind| Fault::new(Phase::Dot, kind))?;
        let reply = Reply::from(&answer);
        self.mails += 1;
        (self.in_step, self.needs_reset) = ((reply.is_done() || reply.is_refusal()) && !reply.closes(), false);
        if reply.is_done() { Ok(reply) } else { Err(Fault::unexpected(Phase::Dot, reply)) }
    }

    /// Asks whether mails from this address are welcome.
    pub(super) async fn try_sender(&mut self, from: &Address) -> Result<(), Fault> {
        self.in_step = false;
        let answer = self.ask(Phase::Mail, &Mail::new(Some(from.clone()), vec![]).to_string(), false).await?;
        (self.in_step, self.needs_reset) = (!answer.closes(), true);
        if answer.is_done() { Ok(()) } else { Err(Fault::unexpected(Phase::Mail, answer)) }
    }

    fn parameters(&self, mail: &Prepared) -> Result<Vec<MailParameter>, Fault> {
        let not_offered = |what| Fault::new(Phase::Mail, Kind::NotOffered(what));
        let mut parameters = Vec::new();
        if let Some(largest) = self.features.size {
            if mail.bytes.len() > largest {
                return Err(not_offered("to take a mail of this size"));
            }
            parameters.push(MailParameter::Size(mail.bytes.len()));
        }
        if [&mail.from].into_iter().chain(&mail.to).any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
            if !self.features.offers(Extension::SmtpUtfEight) {
                return Err(not_offered("SMTPUTF8, which an address beyond ASCII needs"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !mail.bytes.is_ascii() {
            if !self.features.offers(Extension::EightBitMime) {
                return Err(not_offered("8BITMIME, which text beyond ASCII needs"));
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    /// Reads what the server says to the commands that were sent along with a refused MAIL; says whether that is as it
    /// should be.
    async fn skip_replies(&mut self, recipients: usize) -> bool {
        for _ in 0..recipients {
            if self.ask(Phase::Rcpt, "", true).await.is_err() {
                return false;
            }
        }
        self.ask(Phase::Data, "", true).await.is_ok_and(|answer| answer.is_refusal() && !answer.closes())
    }

    async fn ask(&mut self, phase: Phase, command: &str, is_written: bool) -> Result<Reply, Fault> {
        if !is_written {
            self.write(phase, command).await?;
        }
        let answer = phase.timed(self.wire.reply(self.limits.step)).await.map_err(|kind| Fault::new(phase, kind))?;
        Ok(Reply::from(&answer))
    }

    async fn write(&mut self, phase: Phase, text: &str) -> Result<(), Fault> {
        self.wire.write(text.as_bytes(), self.limits.step).await.map_err(|kind| Fault::new(phase, kind))
    }
}

impl Envelope {
    fn add(&mut self, address: &Address, reply: Reply) -> Result<(), Fault> {
        let address = address.to_string();
        if reply.is_done() {
            self.accepted.push(address);
        } else if reply.is_refusal() && !reply.closes() && reply.code != 530 && !refuses_sender(Phase::Rcpt, &reply) {
            self.rejected.push(Rejected { address, reply });
        } else {
            return Err(Fault::unexpected(Phase::Rcpt, reply));
        }
        Ok(())
    }
}

/// The message as it is sent: a dot before each line that begins with one, and the dot that ends it (RFC 5321, 4.5.2).
fn stuffed(message: &[u8]) -> Vec<u8> {
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
    fn a_line_that_begins_with_a_dot_gets_another_one() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\r\nc."), b"a\r\n..\r\n...b\r\nc.\r\n.\r\n");
        assert_eq!(stuffed(b"a\r\n"), b"a\r\n.\r\n");
        assert_eq!(stuffed(b""), b"\r\n.\r\n");
    }
}
