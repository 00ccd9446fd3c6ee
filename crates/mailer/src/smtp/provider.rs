//! One SMTP server: its connection pool, its rate limit, and its circuit breaker.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_delivery::{Permit, RateLimiter};
use examhall_queue::Connection;
use lettre::Address;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    circuit_breaker::{CircuitBreaker, CircuitState},
    delivery::{Delivered, DeliveryError},
    dialogue::{Envelope, EnvelopeError},
    error::{ErrorKind, SmtpError},
    pool::Pool,
    refusals::{all_refused, count_refusal, only_recipient, rejected_recipient},
    retry_policy::{ProviderFailure, classify},
    session::{Session, Timeouts},
    url::{Security, Server},
};
use crate::message::{PreparedMail, SenderOrigin};

/// Options shared by all providers.
pub(crate) struct ProviderOptions {
    pub(crate) timeouts: Timeouts,
    /// Interval between probes of a refused login.
    pub(crate) probe_interval: Duration,
    /// Where limits shared by all processes are counted.
    pub(crate) redis: Connection,
}

/// A server and its state.
pub(crate) struct Provider {
    server: Arc<Server>,
    pool: Pool,
    limiter: RateLimiter,
    breaker: Mutex<CircuitBreaker>,
    changes: watch::Sender<()>,
}

/// A mail transaction whose server waits for the message. Dropping it closes the connection; nothing is sent.
pub(crate) struct Transaction {
    provider: Arc<Provider>,
    session: Session,
    envelope: Envelope,
}

impl Provider {
    pub(super) fn new(
        server: Server,
        options: &ProviderOptions,
        limiter: RateLimiter,
        changes: watch::Sender<()>,
    ) -> Self {
        let server = Arc::new(server);
        let provider = Self {
            pool: Pool::new(Arc::clone(&server), options.timeouts, &options.redis),
            server,
            limiter,
            breaker: Mutex::new(CircuitBreaker::new(options.probe_interval)),
            changes,
        };
        provider.publish_state();
        provider
    }

    pub(crate) fn name(&self) -> String {
        self.server.name()
    }

    pub(super) fn circuit_state(&self) -> CircuitState {
        self.breaker.lock().state()
    }

    pub(super) fn next_probe(&self) -> Option<Duration> {
        self.breaker.lock().next_probe().map(|probe| probe.at.saturating_duration_since(Instant::now()))
    }

    pub(super) fn open_for(&self) -> Option<Duration> {
        self.breaker.lock().open_since().map(|since| since.elapsed())
    }

    /// Sends the envelope, after which the server waits for the message; `during_envelope` runs meanwhile.
    pub(super) async fn begin<F: Future<Output = ()>>(
        self: &Arc<Self>,
        mail: &PreparedMail,
        during_envelope: impl Fn() -> F,
    ) -> Result<Transaction, DeliveryError> {
        self.wait_for_rate().await?;
        if let Some(mut session) = self.pool.take() {
            match tokio::join!(session.envelope(mail), during_envelope()).0 {
                // The server had closed the idle connection, or does so now: this does not concern the mail.
                Err(EnvelopeError::Smtp(error)) if error.is_stale_connection() => {}
                answer => return self.begun(session, answer, mail),
            }
        }
        let mut session = self.pool.open().await.map_err(|error| self.delivery_error(&error, mail.sender))?;
        let (answer, ()) = tokio::join!(session.envelope(mail), during_envelope());
        self.begun(session, answer, mail)
    }

    fn check_circuit(&self) -> Result<(), DeliveryError> {
        if self.circuit_state().allows_mail() {
            return Ok(());
        }
        Err(DeliveryError::unavailable(format!("the circuit of {} is open", self.name())))
    }

    fn begun(
        self: &Arc<Self>,
        session: Session,
        answer: Result<Envelope, EnvelopeError>,
        mail: &PreparedMail,
    ) -> Result<Transaction, DeliveryError> {
        let error = match answer {
            Ok(envelope) => return Ok(Transaction { provider: Arc::clone(self), session, envelope }),
            Err(error) => error,
        };
        self.pool.put_back(session);
        Err(match error {
            EnvelopeError::Smtp(error) => self.delivery_error(&error, mail.sender),
            EnvelopeError::AllRefused(refusals) => all_refused(refusals, mail.sender),
        })
    }

    /// Waits for the rate limit, which all processes share. If Redis is unavailable, there is no limit.
    async fn wait_for_rate(&self) -> Result<(), DeliveryError> {
        let mut changes = self.changes.subscribe();
        loop {
            self.check_circuit()?; // an open circuit uses up no permit, and no mail waits for one
            let Some(rate) = self.server.rate else { return Ok(()) };
            let Ok(Permit::After(wait)) = self.limiter.take(&self.name(), rate).await else {
                return self.check_circuit();
            };
            let _ = tokio::time::timeout(wait, changes.changed()).await;
        }
    }

    /// Classifies an error, and opens the circuit if it is the provider's.
    fn delivery_error(&self, error: &SmtpError, sender: SenderOrigin) -> DeliveryError {
        let class = classify(error, sender);
        if let ErrorKind::Refusal(reply) = &error.kind {
            count_refusal(error.phase, reply);
        }
        if let Some(failure) = class.provider_failure() {
            self.record_failure(failure, error);
        }
        DeliveryError { class, reason: error.to_string(), label: error.label(), rejected: Vec::new() }
    }

    fn record_failure(&self, failure: ProviderFailure, error: &SmtpError) {
        if !self.breaker.lock().failed(failure, Instant::now()) {
            return;
        }
        let (provider, trouble, reason) = (self.name(), failure.as_str(), error.label());
        metrics::counter!("mailer_provider_trouble_total", "provider" => provider.clone(), "trouble" => trouble)
            .increment(1);
        if failure == ProviderFailure::Unavailable {
            tracing::warn!(provider, reason, "Provider's circuit is open");
        } else {
            tracing::error!(provider, trouble, reason, "Provider needs an operator");
        }
        self.publish_state();
    }

    fn record_accepted(&self) {
        if self.breaker.lock().accepted() {
            tracing::info!(provider = self.name(), "Provider takes mails again");
            self.publish_state();
        }
    }

    fn publish_state(&self) {
        metrics::gauge!("mailer_breaker_state", "provider" => self.name()).set(self.circuit_state().metric());
        self.changes.send_replace(());
    }

    /// Probes the server while its circuit is open, and closes old connections, until `stop`.
    pub(super) async fn watch(self: Arc<Self>, from: Address, stop: CancellationToken) {
        self.publish_state(); // the metrics recorder may have been installed after the provider was made
        let mut changes = self.changes.subscribe();
        while !stop.is_cancelled() {
            let next = self.breaker.lock().next_probe();
            let wait = next.map_or(self.pool.sweep(), |probe| probe.at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = stop.cancelled() => return,
                seen = changes.changed() => if seen.is_err() { return },
                () = tokio::time::sleep(wait) => match next {
                    Some(probe) => self.probe(probe.failure, &from).await,
                    None => self.pool.close_old(),
                },
            }
        }
    }

    /// Logs in, and names the sender if that was refused; never sends a mail.
    async fn probe(&self, failure: ProviderFailure, from: &Address) {
        let probed = async {
            let mut session = self.pool.open_for_probe().await?;
            if failure == ProviderFailure::SenderRefused {
                session.try_sender(from).await?;
            }
            Ok::<_, SmtpError>(session)
        };
        match probed.await {
            Ok(session) => {
                self.pool.put_back(session);
                self.breaker.lock().probe_succeeded();
                tracing::info!(provider = self.name(), "Provider answers again");
            }
            Err(error) => {
                let class = classify(&error, SenderOrigin::Settings);
                tracing::debug!(provider = self.name(), reason = error.label(), "Probe of a provider failed");
                let failure = class.provider_failure().unwrap_or(ProviderFailure::Unavailable);
                self.breaker.lock().probe_failed(failure, Instant::now());
            }
        }
        self.publish_state();
    }

    /// Returns whether the connection uses TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        !matches!(self.server.security, Security::None)
    }

    /// Returns whether `SMTP_URL` names a user.
    pub(crate) fn logs_in(&self) -> bool {
        self.server.credentials.is_some()
    }

    /// Logs in and disconnects.
    pub(crate) async fn check(&self) -> Result<(), SmtpError> {
        self.pool.open_for_probe().await?.quit().await;
        Ok(())
    }

    /// Closes idle connections with QUIT.
    pub(super) async fn close_idle(&self) {
        self.pool.close_idle().await;
    }
}

impl Transaction {
    pub(super) async fn finish(mut self, mail: &PreparedMail) -> Result<Delivered, DeliveryError> {
        let answer = self.session.message(mail).await;
        let refusals = self.envelope.rejected.into_iter();
        let rejected = refusals.map(|refusal| rejected_recipient(refusal, mail.sender));
        self.provider.pool.put_back(self.session);
        match answer {
            Ok(reply) => {
                self.provider.record_accepted();
                let (accepted, provider) = (self.envelope.accepted, self.provider.name());
                Ok(Delivered { response: reply.to_string(), accepted, rejected: rejected.collect(), provider })
            }
            Err(error) => {
                let error = self.provider.delivery_error(&error, mail.sender);
                let rejected = only_recipient(&self.envelope.accepted, &error).into_iter().chain(rejected).collect();
                Err(DeliveryError { rejected, ..error })
            }
        }
    }
}
