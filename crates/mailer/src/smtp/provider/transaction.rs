//! The second half of a delivery: the message and its reply.

use std::sync::Arc;

use super::{PassPermit, Provider};
use crate::{
    message::PreparedMail,
    smtp::{
        delivery::{Delivered, DeliveryError},
        dialogue::Envelope,
        error::SmtpError,
        refusals::{only_recipient, rejected_recipient},
        reply::Reply,
        session::Session,
    },
};

/// A mail transaction whose server waits for the message. Dropping it closes the connection; nothing is sent.
pub(crate) struct Transaction {
    pub(super) provider: Arc<Provider>,
    pub(super) session: Session,
    pub(super) envelope: Envelope,
    /// Held by a mail that tries the provider out, or may hinder others.
    pub(super) trial: Option<PassPermit>,
}

impl Transaction {
    /// Sends the message. If the server closes a connection that took mails before (421), it has taken nothing, and gets
    /// the mail on a new one.
    pub(crate) async fn finish(mut self, mail: &PreparedMail) -> Result<Delivered, DeliveryError> {
        let is_reused = self.session.is_reused();
        match self.message(mail).await {
            Err(error) if is_reused && error.closes() => {
                let Self { provider, session, trial, .. } = self;
                drop(session);
                let again = provider.begin_on_new(mail, async || {}, trial).await?;
                Box::pin(again.finish(mail)).await // on a new connection: for the last time
            }
            answer => self.finished(answer, mail).await,
        }
    }

    async fn message(&mut self, mail: &PreparedMail) -> Result<Reply, SmtpError> {
        let provider = Arc::clone(&self.provider);
        let message = self.session.message(mail, &provider.stopping);
        tokio::pin!(message);
        match tokio::time::timeout(2 * provider.step(), &mut message).await {
            Ok(answer) => answer,
            Err(_late) => {
                self.trial = None; // the next mail may try the provider out
                let _late = provider.wait_late(mail);
                message.await
            }
        }
    }

    async fn finished(self, answer: Result<Reply, SmtpError>, mail: &PreparedMail) -> Result<Delivered, DeliveryError> {
        let refusals = self.envelope.rejected.into_iter();
        let rejected = refusals.map(|refusal| rejected_recipient(refusal, mail.sender));
        self.provider.pool.put_back(self.session);
        match answer {
            Ok(reply) => {
                self.provider.record_accepted(mail);
                let (accepted, provider) = (self.envelope.accepted, self.provider.name());
                Ok(Delivered { response: reply.to_string(), accepted, rejected: rejected.collect(), provider })
            }
            Err(error) => {
                let error = self.provider.judge(&error, mail).await;
                let rejected = only_recipient(&self.envelope.accepted, &error).into_iter().chain(rejected).collect();
                Err(DeliveryError { rejected, ..error })
            }
        }
    }
}
