//! Judges failures: the mail's or the provider's. Reports those of the provider.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{Provider, status::Outage};
use crate::{
    message::{PreparedMail, SenderOrigin},
    smtp::{
        delivery::DeliveryError,
        dialogue::RcptRefusal,
        error::{ErrorKind, Phase, SmtpError},
        evidence::MailKey,
        provider_failure::ProviderFailure,
        refusals::{all_refused, count_refusal},
        retry_policy::{FailureClass, Suppression, classify, concerns_message},
    },
};

impl Provider {
    /// Judges an error of this mail, and opens the circuit if it is the provider's fault.
    pub(super) async fn judge(&self, error: &SmtpError, mail: &PreparedMail) -> DeliveryError {
        if let Some(reply) = error.refusal() {
            count_refusal(error.phase, reply);
        }
        if classify(error, mail.sender) == FailureClass::BrokeOff {
            return self.judge_break_off(error, mail).await;
        }
        self.judge_reply(error, mail)
    }

    /// As [`judge`](Self::judge), if all recipients were refused.
    pub(super) fn judge_refused_recipients(&self, refusals: Vec<RcptRefusal>, mail: &PreparedMail) -> DeliveryError {
        let (error, mut rejected) = all_refused(refusals, mail.sender);
        let judged = self.judge_reply(&error, mail);
        if judged.is_providers {
            for one in &mut rejected {
                one.suppression = Suppression::No;
            }
        }
        DeliveryError { rejected, ..judged }
    }

    /// Silence, a cut or nonsense: it is the provider's if the login fails, at once, or if another mail meets it, too.
    async fn judge_break_off(&self, error: &SmtpError, mail: &PreparedMail) -> DeliveryError {
        let key = MailKey::of(mail);
        self.evidence.lock().broke_off(key);
        let is_known = !self.breaker.lock().state().allows_mail(); // others have found out
        let same = || (ProviderFailure::Unavailable, error.clone());
        let broken = if is_known { Some(same()) } else { self.log_in().await.err() };
        let shared =
            || self.evidence.lock().others_broke_off(key).then(|| (ProviderFailure::Unavailable, error.clone()));
        let providers = broken.or_else(shared);
        if let Some((failure, cause)) = &providers {
            self.record_failure(*failure, cause);
        }
        self.delivery_error(FailureClass::BrokeOff, error, providers.is_some())
    }

    fn judge_reply(&self, error: &SmtpError, mail: &PreparedMail) -> DeliveryError {
        let (class, key, now) = (classify(error, mail.sender), MailKey::of(mail), Instant::now());
        let mut evidence = self.evidence.lock();
        if error.phase == Phase::EndOfData && error.refusal().is_some() {
            evidence.answered();
        }
        let (class, failure) = match (class, &error.kind) {
            (FailureClass::Ambiguous | FailureClass::AmbiguousDeferred, _) if evidence.left_unanswered(key) => {
                (FailureClass::AmbiguousDeferred, Some(ProviderFailure::Unavailable))
            }
            // Before the recipients nothing but the sender can be special about this mail.
            (FailureClass::Provider(failure), ErrorKind::Refusal(_))
                if error.phase.is_of_mail() && (error.phase != Phase::Mail || mail.sender == SenderOrigin::Job) =>
            {
                let is_believed = evidence.blamed_us(key, now);
                (if is_believed { class } else { FailureClass::Greylisted }, is_believed.then_some(failure))
            }
            (FailureClass::Permanent(_) | FailureClass::Transient, ErrorKind::Refusal(reply))
                if !concerns_message(reply) && evidence.refused(key, error.phase, reply) =>
            {
                (FailureClass::Greylisted, Some(ProviderFailure::RefusesAll))
            }
            _ => (class, class.provider_failure()),
        };
        drop(evidence);
        if let Some(failure) = failure {
            self.record_failure(failure, error);
        }
        self.delivery_error(class, error, failure.is_some())
    }

    /// Logs in on a new connection, which the next mail uses.
    async fn log_in(&self) -> Result<(), (ProviderFailure, SmtpError)> {
        match self.pool.open_for_probe().await {
            Ok(session) => {
                self.pool.put_back(session);
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::NoConnectionFree => Ok(()), // it proves nothing
            Err(error) => {
                let class = classify(&error, SenderOrigin::Settings);
                Err((class.provider_failure().unwrap_or(ProviderFailure::Unavailable), error))
            }
        }
    }

    /// Counts this mail as late until the guard is dropped. Late messages of two mails are the provider's fault.
    pub(super) fn wait_late(self: &Arc<Self>, mail: &PreparedMail) -> Late {
        let key = MailKey::of(mail);
        let is_shared = {
            let mut evidence = self.evidence.lock();
            evidence.broke_off(key);
            evidence.others_broke_off(key)
        };
        self.late.fetch_add(1, Ordering::Relaxed);
        if is_shared {
            let silence = ErrorKind::ConnectionLost("no reply to messages in time".to_owned());
            self.record_failure(ProviderFailure::Unavailable, &SmtpError::new(Phase::EndOfData, silence));
        }
        self.changes.send_replace(());
        Late(Arc::clone(self))
    }

    pub(super) fn record_accepted(&self, mail: &PreparedMail) {
        self.evidence.lock().accepted(MailKey::of(mail), Instant::now());
        if self.breaker.lock().accepted() {
            tracing::info!(provider = self.name(), "Provider takes mails again");
            self.publish_state();
        }
    }

    fn record_failure(&self, failure: ProviderFailure, error: &SmtpError) {
        let change = self.breaker.lock().failed(failure, Instant::now());
        if change.is_new_state {
            *self.outage.lock() = Some(Outage::new(failure, error));
        }
        if change.is_news {
            self.report(failure, error);
        }
        if change.is_new_state {
            self.publish_state();
        }
    }

    fn delivery_error(&self, class: FailureClass, error: &SmtpError, is_providers: bool) -> DeliveryError {
        let (reason, label, provider) = (error.to_string(), error.label(), self.name().into());
        DeliveryError {
            class,
            reason,
            label,
            signature: Box::new(error.signature()),
            rejected: Vec::new(),
            provider,
            is_providers,
        }
    }

    /// Reports a failure with the server's words, which an operator needs.
    pub(super) fn report(&self, failure: ProviderFailure, error: &SmtpError) {
        let (provider, trouble, reason, said) = (self.name(), failure.as_str(), error.label(), error.words());
        metrics::counter!("mailer_provider_trouble_total", "provider" => provider.clone(), "trouble" => trouble)
            .increment(1);
        if failure == ProviderFailure::Unavailable {
            tracing::warn!(provider, reason, said, "Provider's circuit is open");
        } else {
            tracing::error!(provider, trouble, reason, said, "Provider needs an operator");
        }
    }
}

/// A message whose reply is late, until dropped.
pub(super) struct Late(Arc<Provider>);

impl Drop for Late {
    fn drop(&mut self) {
        self.0.late.fetch_sub(1, Ordering::Relaxed);
        self.0.changes.send_replace(());
    }
}
