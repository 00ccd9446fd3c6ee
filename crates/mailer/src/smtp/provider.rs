//! One SMTP server: its connection pool, its rate limit, its circuit breaker, and the evidence of whose fault its failures
//! are.

mod hold;
mod judge;
mod rates;
mod status;
mod transaction;
mod trial;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_delivery::RateLimiter;
use examhall_queue::Connection;
use lettre::Address;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::transaction::Transaction;
use self::{
    hold::Hold,
    status::Outage,
    trial::{OneByOne, PassPermit},
};
use super::{
    access::Access,
    circuit_breaker::{CircuitBreaker, CircuitState},
    delivery::DeliveryError,
    dialogue::{Envelope, EnvelopeError},
    ehlo_name::EhloName,
    error::SmtpError,
    evidence::Evidence,
    pool::Pool,
    provider_failure::ProviderFailure,
    retry_policy::classify,
    session::{Session, Timeouts},
    url::{Security, Server},
};
use crate::message::{PreparedMail, SenderOrigin};

/// Time for which mails that may hinder others do not try a provider out.
const PASSED_OVER_FOR: Duration = Duration::from_secs(2);

/// How long the trial of a provider is waited for; a mail that takes longer holds up no other.
pub(crate) const TRIAL: Duration = Duration::from_secs(2);

/// Options shared by all providers.
#[derive(Clone)]
pub(crate) struct ProviderOptions {
    pub(crate) timeouts: Timeouts,
    /// Interval between probes of a refused login.
    pub(crate) probe_interval: Duration,
    /// The mailer's own name.
    pub(crate) ehlo_name: EhloName,
    /// Where limits shared by all processes are counted.
    pub(crate) redis: Connection,
    /// Whether the mailer is stopping, and does not wait long for replies.
    pub(crate) stopping: CancellationToken,
}

/// A server and its state.
pub(crate) struct Provider {
    server: Arc<Server>,
    pool: Pool,
    limiter: RateLimiter,
    breaker: Mutex<CircuitBreaker>,
    /// Its last failure.
    outage: Mutex<Option<Outage>>,
    evidence: Mutex<Evidence>,
    trial: OneByOne,
    /// While it lasts no mail is sent: a rate is used up.
    hold: Arc<Hold>,
    /// Mails that may hinder others: together they never fill all slots.
    suspects: OneByOne,
    /// Messages whose reply is late: they do not count as busy slots.
    late: AtomicUsize,
    stopping: CancellationToken,
    changes: watch::Sender<()>,
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
            outage: Mutex::default(),
            evidence: Mutex::default(),
            trial: OneByOne::default(),
            hold: Arc::new(Hold::none()),
            suspects: OneByOne::default(),
            late: AtomicUsize::new(0),
            stopping: options.stopping.clone(),
            changes,
        };
        provider.publish_state();
        provider
    }

    pub(crate) fn name(&self) -> String {
        self.server.name()
    }

    pub(super) fn circuit_state(&self) -> CircuitState {
        let state = self.breaker.lock().state();
        if state.allows_mail() && self.held_for().is_some() { CircuitState::Limited } else { state }
    }

    pub(super) fn next_probe(&self) -> Option<Duration> {
        self.breaker.lock().next_probe().map(|probe| probe.at.saturating_duration_since(Instant::now()))
    }

    pub(super) fn open_for(&self) -> Option<Duration> {
        self.breaker.lock().open_since().map(|since| since.elapsed())
    }

    /// Timeout of one step.
    fn step(&self) -> Duration {
        self.pool.timeouts.step
    }

    /// Number of mails that take so long that others do not wait for them.
    pub(super) fn slow(&self) -> usize {
        self.late.load(Ordering::Relaxed) + self.trial.slow(TRIAL)
    }

    /// Sends the envelope, after which the server waits for the message; `during_envelope` runs meanwhile.
    pub(super) async fn begin<F: Future<Output = ()>>(
        self: &Arc<Self>,
        mail: &PreparedMail,
        during_envelope: impl Fn() -> F,
    ) -> Result<Transaction, DeliveryError> {
        let trial = self.admit(mail).await?;
        self.wait_for_rate(mail).await?;
        if let Some(mut session) = self.pool.take() {
            match tokio::join!(session.envelope(mail), during_envelope()).0 {
                // The server had closed the idle connection, or does so now: this does not concern the mail.
                Err(EnvelopeError::Smtp(error)) if error.is_stale_connection() => {}
                answer => return self.begun(session, answer, mail, trial).await,
            }
        }
        self.begin_on_new(mail, during_envelope, trial).await
    }

    async fn begin_on_new<F: Future<Output = ()>>(
        self: &Arc<Self>,
        mail: &PreparedMail,
        during_envelope: impl Fn() -> F,
        trial: Option<PassPermit>,
    ) -> Result<Transaction, DeliveryError> {
        let mut session = match self.pool.open().await {
            Ok(session) => session,
            Err(error) => return Err(self.judge(&error, mail).await),
        };
        let (answer, ()) = tokio::join!(session.envelope(mail), during_envelope());
        self.begun(session, answer, mail, trial).await
    }

    /// Lets a mail pass if the circuit does. While it is half-open one mail at a time tries the provider out, and others wait
    /// a moment for the result. Mails that may hinder others go one at a time, and try a provider out only if no other does.
    async fn admit(&self, mail: &PreparedMail) -> Result<Option<PassPermit>, DeliveryError> {
        let mut changes = self.changes.subscribe();
        let passed_over = || DeliveryError::passed_over(&self.name());
        loop {
            self.check_circuit()?;
            let half_open_for = self.breaker.lock().half_open_for(Instant::now());
            let is_suspect = self.evidence.lock().is_suspect(mail);
            let Some(half_open_for) = half_open_for else {
                let permit = || self.suspects.begin(Duration::MAX).map_err(|_since| passed_over());
                return is_suspect.then(permit).transpose();
            };
            if is_suspect && half_open_for.min(self.trial.idle_for()) < PASSED_OVER_FOR {
                return Err(passed_over());
            }
            let since = match self.trial.begin(TRIAL) {
                Ok(permit) => return Ok(Some(permit)),
                Err(since) => since,
            };
            let left = TRIAL.saturating_sub(since.elapsed());
            let _ = tokio::time::timeout(left.min(TRIAL / 10), changes.changed()).await; // or the permit is free again
        }
    }

    fn check_circuit(&self) -> Result<(), DeliveryError> {
        if let Some(left) = self.held_for() {
            return Err(DeliveryError::rate_limited(&self.name(), "its rate", left));
        }
        if self.circuit_state().allows_mail() {
            return Ok(());
        }
        Err(DeliveryError::unavailable(format!("the circuit of {} is open", self.name())))
    }

    async fn begun(
        self: &Arc<Self>,
        session: Session,
        answer: Result<Envelope, EnvelopeError>,
        mail: &PreparedMail,
        trial: Option<PassPermit>,
    ) -> Result<Transaction, DeliveryError> {
        let error = match answer {
            Ok(envelope) => return Ok(Transaction { provider: Arc::clone(self), session, envelope, trial }),
            Err(error) => error,
        };
        self.pool.put_back(session);
        Err(match error {
            EnvelopeError::Smtp(error) => self.judge(&error, mail).await,
            EnvelopeError::AllRefused(refusals) => self.judge_refused_recipients(refusals, mail),
        })
    }

    fn publish_state(&self) {
        metrics::gauge!("mailer_breaker_state", "provider" => self.name()).set(self.breaker.lock().state().metric());
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
                self.evidence.lock().logged_in();
                self.breaker.lock().probe_succeeded(Instant::now());
                tracing::info!(provider = self.name(), "Provider answers again");
            }
            Err(error) => {
                let class = classify(&error, SenderOrigin::Settings);
                tracing::debug!(provider = self.name(), reason = error.label(), "Probe of a provider failed");
                let failure = class.provider_failure().unwrap_or(ProviderFailure::Unavailable);
                *self.outage.lock() = Some(Outage::new(failure, &error));
                if self.breaker.lock().probe_failed(failure, Instant::now()) {
                    self.report(failure, &error);
                }
            }
        }
        self.publish_state();
    }

    /// The limits that are waited for, each with the time until the last one's turn.
    pub(crate) async fn waits(&self) -> Result<Vec<(String, Duration)>, examhall_delivery::Error> {
        self.limiter.waits(&self.server.account()).await
    }

    /// Host and port.
    pub(crate) fn address(&self) -> (&str, u16) {
        (&self.server.host, self.server.port)
    }

    /// The name that the mailer gives itself.
    pub(crate) fn ehlo_name(&self) -> &EhloName {
        &self.server.ehlo_name
    }

    /// Returns whether the connection uses TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        !matches!(self.server.security, Security::None)
    }

    /// Returns whether `SMTP_URL` names a user.
    pub(crate) fn logs_in(&self) -> bool {
        self.server.access.is_some()
    }

    /// Returns whether the login is by access tokens.
    pub(crate) fn uses_tokens(&self) -> bool {
        matches!(self.server.access, Some(Access::Tokens { .. }))
    }

    /// Logs in and disconnects.
    pub(crate) async fn check(&self) -> Result<(), SmtpError> {
        self.pool.open_for_probe().await?.quit().await;
        Ok(())
    }

    /// Closes idle connections: no further mail comes.
    pub(super) async fn retire(&self) {
        metrics::gauge!("mailer_breaker_state", "provider" => self.name()).set(CircuitState::Closed.metric());
        self.publish_hold(Duration::ZERO);
        self.close_idle().await;
    }

    /// Closes idle connections with QUIT.
    pub(super) async fn close_idle(&self) {
        self.pool.close_idle().await;
    }
}
