//! One SMTP server: its connections, its rate limit, and whether it is left alone.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use examhall_delivery::{Permit, RateLimiter};
use lettre::Address;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Delivered, Fault, Phase, Refused, Reply, TransportOptions, Undelivered,
    dialogue::{Envelope, NoEnvelope, Rejected},
    fault::Kind,
    pool::Pool,
    session::Session,
    url::{Security, Server},
};
use crate::{
    breaker::{Breaker, Openness},
    message::Prepared,
    verdict::{Suppress, Trouble, Verdict, is_policy, judge},
};

/// A server and what is known of it.
pub(crate) struct Provider {
    server: Arc<Server>,
    pool: Pool,
    limiter: RateLimiter,
    breaker: Mutex<Breaker>,
    changes: watch::Sender<()>,
}

/// A connection on which the server waits for the message. Dropped, it is closed, and nothing was sent.
pub(crate) struct Pending {
    provider: Arc<Provider>,
    session: Session,
    envelope: Envelope,
}

impl Provider {
    pub(super) fn new(
        server: Server,
        options: &TransportOptions,
        limiter: RateLimiter,
        changes: watch::Sender<()>,
    ) -> Self {
        let server = Arc::new(server);
        let provider = Self {
            pool: Pool::new(Arc::clone(&server), options),
            server,
            limiter,
            breaker: Mutex::new(Breaker::new(options.hold)),
            changes,
        };
        provider.show_state();
        provider
    }

    pub(crate) fn name(&self) -> String {
        self.server.name()
    }

    pub(super) fn openness(&self) -> Openness {
        self.breaker().openness()
    }

    pub(super) fn next_probe(&self) -> Option<Duration> {
        self.breaker().next_probe().map(|(at, _)| at.saturating_duration_since(Instant::now()))
    }

    pub(super) fn silent_for(&self) -> Option<Duration> {
        self.breaker().open_since().map(|since| since.elapsed())
    }

    /// Gets the server to wait for the mail; `meanwhile` is done while it is told whom the mail is for.
    pub(super) async fn begin<F: Future<Output = ()>>(
        self: &Arc<Self>,
        mail: &Prepared,
        meanwhile: impl Fn() -> F,
    ) -> Result<Pending, Undelivered> {
        self.wait_for_turn().await?;
        if let Some(mut session) = self.pool.take() {
            match tokio::join!(session.envelope(mail), meanwhile()).0 {
                // The server had closed it meanwhile, or says so now: that says nothing about the mail.
                Err(NoEnvelope::Fault(fault)) if fault.is_stale_connection() => {}
                answer => return self.begun(session, answer, mail),
            }
        }
        let mut session = self.pool.open().await.map_err(|fault| self.undelivered(&fault, mail))?;
        let (answer, ()) = tokio::join!(session.envelope(mail), meanwhile());
        self.begun(session, answer, mail)
    }

    fn is_open(&self) -> Result<(), Undelivered> {
        if self.openness() >= Openness::OneByOne {
            return Ok(());
        }
        Err(Undelivered::left_alone(format!("{} is left alone for a while", self.name())))
    }

    fn begun(
        self: &Arc<Self>,
        session: Session,
        answer: Result<Envelope, NoEnvelope>,
        mail: &Prepared,
    ) -> Result<Pending, Undelivered> {
        let failure = match answer {
            Ok(envelope) => return Ok(Pending { provider: Arc::clone(self), session, envelope }),
            Err(failure) => failure,
        };
        self.pool.keep(session);
        Err(match failure {
            NoEnvelope::Fault(fault) => self.undelivered(&fault, mail),
            NoEnvelope::Nobody(rejected) => nobody(rejected, mail),
        })
    }

    /// Waits until one more mail may be sent, over all processes. Where Redis cannot say, it may.
    async fn wait_for_turn(&self) -> Result<(), Undelivered> {
        let mut changes = self.changes.subscribe();
        loop {
            self.is_open()?; // who is left alone takes no turn, and nobody waits for it
            let Some(rate) = self.server.rate else { return Ok(()) };
            let Ok(Permit::After(wait)) = self.limiter.take(&self.name(), rate).await else { return self.is_open() };
            let _ = tokio::time::timeout(wait, changes.changed()).await;
        }
    }

    /// Judges a fault, and leaves the server alone where it is the server's.
    fn undelivered(&self, fault: &Fault, mail: &Prepared) -> Undelivered {
        let verdict = judge(fault, mail.sender_is_ours);
        if let Kind::Refusal(reply) = &fault.kind {
            count_refusal(fault.phase, reply);
        }
        if let Some(trouble) = verdict.trouble() {
            self.note_trouble(trouble, fault);
        }
        Undelivered { verdict, reason: fault.to_string(), label: fault.label(), rejected: Vec::new() }
    }

    fn note_trouble(&self, trouble: Trouble, fault: &Fault) {
        if self.breaker().trouble(trouble, Instant::now()) {
            let provider = self.name();
            metrics::counter!("mailer_provider_trouble_total", "provider" => provider.clone(), "trouble" => trouble.as_str())
                .increment(1);
            if trouble == Trouble::Passing {
                tracing::warn!(provider, reason = fault.label(), "Provider is left alone for a while");
            } else {
                tracing::error!(
                    provider,
                    trouble = trouble.as_str(),
                    reason = fault.label(),
                    "Provider needs an operator"
                );
            }
            self.show_state();
        }
    }

    fn note_accepted(&self) {
        if self.breaker().accepted() {
            tracing::info!(provider = self.name(), "Provider takes mails again");
            self.show_state();
        }
    }

    fn show_state(&self) {
        let state = match self.openness() {
            Openness::All => 0,
            Openness::OneByOne => 1,
            Openness::Nothing => 2,
            Openness::Held => 3,
        };
        metrics::gauge!("mailer_breaker_state", "provider" => self.name()).set(f64::from(state));
        self.changes.send_replace(());
    }

    /// Probes while the server is left alone, and closes connections that grew old, until `stop`.
    pub(super) async fn watch(self: Arc<Self>, from: Address, stop: CancellationToken) {
        self.show_state(); // whoever collects metrics may have come after the provider
        let mut changes = self.changes.subscribe();
        while !stop.is_cancelled() {
            let next = self.breaker().next_probe();
            let wait = next.map_or(self.pool.sweep(), |(at, _)| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = stop.cancelled() => return,
                seen = changes.changed() => if seen.is_err() { return },
                () = tokio::time::sleep(wait) => match next {
                    Some((_, trouble)) => self.probe(trouble, &from).await,
                    None => self.pool.close_old(),
                },
            }
        }
    }

    /// Logs in, and names the sender where that was refused; never sends a mail.
    async fn probe(&self, trouble: Trouble, from: &Address) {
        let probed = async {
            let mut session = self.pool.look_in().await?;
            if trouble == Trouble::Sender {
                session.try_sender(from).await?;
            }
            Ok::<_, Fault>(session)
        };
        match probed.await {
            Ok(session) => {
                self.pool.keep(session);
                self.breaker().probe_succeeded();
                tracing::info!(provider = self.name(), "Provider answers again");
            }
            Err(fault) => {
                let trouble = judge(&fault, true).trouble().unwrap_or(Trouble::Passing);
                tracing::debug!(provider = self.name(), reason = fault.label(), "Provider is still not to be used");
                self.breaker().probe_failed(trouble, Instant::now());
            }
        }
        self.show_state();
    }

    /// Whether others cannot read what it is sent.
    pub(crate) fn is_encrypted(&self) -> bool {
        !matches!(self.server.security, Security::None)
    }

    /// Whether it is told who we are.
    pub(crate) fn logs_in(&self) -> bool {
        self.server.credentials.is_some()
    }

    /// Logs in and leaves.
    pub(crate) async fn check(&self) -> Result<(), Fault> {
        self.pool.look_in().await?.leave().await;
        Ok(())
    }

    /// Leaves the server: closes the connections that wait for a mail.
    pub(super) async fn leave(&self) {
        self.pool.leave().await;
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    pub(super) async fn finish(mut self, mail: &Prepared) -> Result<Delivered, Undelivered> {
        let answer = self.session.message(mail).await;
        let rejected: Vec<_> = self.envelope.rejected.into_iter().map(|one| refused(one, mail).1).collect();
        match answer {
            Ok(reply) => {
                self.provider.pool.keep(self.session);
                self.provider.note_accepted();
                let (accepted, provider) = (self.envelope.accepted, self.provider.name());
                Ok(Delivered { response: reply.to_string(), accepted, rejected, provider })
            }
            Err(fault) => {
                self.provider.pool.keep(self.session);
                let undelivered = self.provider.undelivered(&fault, mail);
                let rejected = about_the_only_one(&self.envelope.accepted, &undelivered).into_iter().chain(rejected);
                Err(Undelivered { rejected: rejected.collect(), ..undelivered })
            }
        }
    }
}

/// What a refusal of the message says of its recipient, where there is one only.
fn about_the_only_one(accepted: &[String], undelivered: &Undelivered) -> Option<Refused> {
    match (accepted, undelivered.verdict) {
        ([address], Verdict::Permanent(suppress @ (Suppress::Now | Suppress::WhenRepeated))) => {
            Some(Refused { address: address.clone(), reason: undelivered.reason.clone(), suppress })
        }
        _ => None,
    }
}

/// All recipients were refused: the least final refusal counts.
fn nobody(rejected: Vec<Rejected>, mail: &Prepared) -> Undelivered {
    let label = rejected.first().map(|one| format!("{} at rcpt", one.reply.codes())).unwrap_or_default();
    let judged: Vec<_> = rejected.into_iter().map(|one| refused(one, mail)).collect();
    let mildest = judged.iter().min_by_key(|(verdict, _)| verdict.finality());
    let (verdict, reason) =
        mildest.map_or((Verdict::Retry, String::new()), |(verdict, one)| (*verdict, one.reason.clone()));
    Undelivered { verdict, reason, label, rejected: judged.into_iter().map(|(_, one)| one).collect() }
}

fn refused(Rejected { address, reply }: Rejected, mail: &Prepared) -> (Verdict, Refused) {
    count_refusal(Phase::Rcpt, &reply);
    let reason = reply.to_string();
    let verdict = judge(&Fault::new(Phase::Rcpt, Kind::Refusal(reply)), mail.sender_is_ours);
    let suppress = match verdict {
        Verdict::Permanent(suppress) => suppress,
        _ => Suppress::No,
    };
    (verdict, Refused { address, reason, suppress })
}

fn count_refusal(phase: Phase, reply: &Reply) {
    let code = reply.code.to_string();
    metrics::counter!("mailer_refusals_total", "phase" => phase.as_str(), "code" => code).increment(1);
    if is_policy(phase, reply) {
        metrics::counter!("mailer_policy_refusals_total").increment(1);
    }
}
