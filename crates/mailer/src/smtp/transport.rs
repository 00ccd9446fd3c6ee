//! Transport: providers in order of preference with failover, or a folder.

use std::{sync::Arc, time::Duration};

use examhall_boot::traces::{Parent, Span, SpanKind};
use examhall_core::ProviderStatus;
use examhall_delivery::RateLimiter;
use futures_util::future::join_all;
use lettre::Address;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    circuit_breaker::CircuitState,
    delivery::{Delivered, DeliveryError},
    folder::Folder,
    limits::urls as split_urls,
    provider::{Provider, ProviderOptions, Transaction},
    retry_policy::FailureClass,
    url::{BadSmtpUrl, Endpoint},
};
use crate::message::PreparedMail;

/// The destination of all mails: servers in order of preference, or a folder.
pub(crate) struct Transport {
    /// Replaced by [`reload`](Self::reload).
    destination: RwLock<Arc<Destination>>,
    changes: watch::Sender<()>,
    probes: Mutex<Option<Probes>>,
}

enum Destination {
    Servers(Vec<Arc<Provider>>),
    Folder(Arc<Folder>),
}

/// The tasks that probe the servers.
struct Probes {
    /// Ends those of all servers.
    stop: CancellationToken,
    /// Ends those of the current servers.
    stop_current: CancellationToken,
}

/// A server or folder that waits for the message.
pub(crate) enum PendingDelivery {
    Server(Box<Transaction>, Span),
    Folder(Arc<Folder>),
}

impl Destination {
    fn from_urls(urls: &str, options: &ProviderOptions, changes: &watch::Sender<()>) -> Result<Self, BadSmtpUrl> {
        let endpoints = split_urls(urls)
            .iter()
            .map(|url| Endpoint::parse(url, &options.ehlo_name))
            .collect::<Result<Vec<_>, _>>()?;
        if let [Endpoint::Folder(path)] = endpoints.as_slice() {
            return Ok(Self::Folder(Arc::new(Folder::new(path.clone()))));
        }
        let limiter = RateLimiter::new(options.redis.clone(), "mail:rate:");
        let providers = endpoints.into_iter().map(|endpoint| match endpoint {
            Endpoint::Server(server) => Ok(Arc::new(Provider::new(server, options, limiter.clone(), changes.clone()))),
            Endpoint::Folder(_) => Err(BadSmtpUrl::FolderAmongServers),
        });
        Ok(Self::Servers(providers.collect::<Result<_, _>>()?))
    }

    fn providers(&self) -> &[Arc<Provider>] {
        match self {
            Self::Servers(providers) => providers,
            Self::Folder(_) => &[],
        }
    }
}

impl Transport {
    /// Parses `SMTP_URL`.
    pub(crate) fn from_url(urls: &str, options: &ProviderOptions) -> Result<Self, BadSmtpUrl> {
        let changes = watch::Sender::new(());
        let destination = RwLock::new(Arc::new(Destination::from_urls(urls, options, &changes)?));
        Ok(Self { destination, changes, probes: Mutex::default() })
    }

    /// Replaces the servers by those of `SMTP_URL`, with their certificates. Mails in flight end with the old ones.
    /// `from` is `MAIL_FROM`.
    ///
    /// # Errors
    /// Returns an error if the text is invalid: then nothing changes.
    pub(crate) async fn reload(&self, urls: &str, options: &ProviderOptions, from: &Address) -> Result<(), BadSmtpUrl> {
        let new = Arc::new(Destination::from_urls(urls, options, &self.changes)?);
        let old = std::mem::replace(&mut *self.destination.write(), new);
        let probes = self.probes.lock().take();
        if let Some(Probes { stop, stop_current }) = probes {
            stop_current.cancel();
            self.watch(from, &stop);
        }
        for provider in old.providers() {
            provider.retire().await;
        }
        self.changes.send_replace(());
        Ok(())
    }

    fn destination(&self) -> Arc<Destination> {
        Arc::clone(&self.destination.read())
    }

    /// Begins the delivery at the first provider without a failure of its own.
    ///
    /// `during_envelope` runs while the envelope is sent, and again for each further provider that is tried.
    pub(crate) async fn begin<F: Future<Output = ()>>(
        &self,
        mail: &PreparedMail,
        during_envelope: impl Fn() -> F,
    ) -> Result<PendingDelivery, DeliveryError> {
        let mut last = None;
        for provider in match &*self.destination() {
            Destination::Folder(folder) => return Ok(PendingDelivery::Folder(Arc::clone(folder))),
            Destination::Servers(providers) => providers,
        } {
            let span = Span::begin(SpanKind::Client, "deliver", Parent::current);
            span.set("network.protocol.name", "smtp");
            span.set("server.address", provider.name());
            match provider.begin(mail, &during_envelope).await {
                Ok(transaction) => return Ok(PendingDelivery::Server(Box::new(transaction), span)),
                Err(error) => {
                    span.fail(error.label.clone());
                    let class = error.class;
                    if !class.lets_others_try() {
                        return Err(error);
                    }
                    // That the dialogue broke off counts, even if no other provider could be tried.
                    if last.as_ref().is_none_or(|last: &DeliveryError| last.class != FailureClass::BrokeOff) {
                        last = Some(error);
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| DeliveryError::unavailable("SMTP_URL names no server".to_owned())))
    }

    /// Circuit state of the provider that can take most.
    pub(crate) fn circuit_state(&self) -> CircuitState {
        self.providers().iter().map(|provider| provider.circuit_state()).max().unwrap_or(CircuitState::Closed)
    }

    /// Time until the next probe of a provider; `None` if one takes mails.
    pub(crate) fn next_probe(&self) -> Option<Duration> {
        (!self.circuit_state().allows_mail())
            .then(|| self.providers().iter().filter_map(|one| one.next_probe()).min())?
    }

    /// How long no provider has taken mails; `None` if one does.
    pub(crate) fn unavailable_for(&self) -> Option<Duration> {
        let is_unavailable = self.circuit_state() < CircuitState::Limited;
        is_unavailable.then(|| self.providers().iter().filter_map(|one| one.open_for()).min())?
    }

    /// How long mails wait for the rate of a provider; `None` if one can be sent now, or no provider is available.
    pub(crate) fn held_for(&self) -> Option<Duration> {
        let is_limited = self.circuit_state() == CircuitState::Limited;
        is_limited.then(|| self.providers().iter().filter_map(|one| one.held_for()).min())?
    }

    /// Time until the next probe of any provider whose circuit is open.
    pub(crate) fn next_probe_of_any(&self) -> Option<Duration> {
        self.providers().iter().filter_map(|one| one.next_probe()).min()
    }

    /// Number of mails that take so long that others do not wait for them.
    pub(crate) fn slow(&self) -> usize {
        self.providers().iter().map(|provider| provider.slow()).sum()
    }

    /// Notifies of each change of [`circuit_state`](Self::circuit_state).
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Probes providers whose circuit is open, until `stop`. `from` is `MAIL_FROM`.
    pub(crate) fn watch(&self, from: &Address, stop: &CancellationToken) {
        let stop_current = stop.child_token();
        for provider in self.providers() {
            tokio::spawn(provider.watch(from.clone(), stop_current.clone()));
        }
        *self.probes.lock() = Some(Probes { stop: stop.clone(), stop_current });
    }

    /// Closes idle connections with QUIT. Mails in flight continue.
    pub(crate) async fn close_idle(&self) {
        for provider in self.providers() {
            provider.close_idle().await;
        }
    }

    /// The folder that mails are written into, if `SMTP_URL` names one.
    pub(crate) fn folder(&self) -> Option<Arc<Folder>> {
        match &*self.destination() {
            Destination::Folder(folder) => Some(Arc::clone(folder)),
            Destination::Servers(_) => None,
        }
    }

    /// How each server or folder is at `now`, in ms since 1970.
    pub(crate) async fn statuses(&self, now: i64) -> Vec<ProviderStatus> {
        match &*self.destination() {
            Destination::Folder(folder) => vec![ProviderStatus::closed(folder.name())],
            Destination::Servers(providers) => join_all(providers.iter().map(|one| one.status(now))).await,
        }
    }

    /// The servers that mails are sent to.
    pub(crate) fn providers(&self) -> Vec<Arc<Provider>> {
        self.destination().providers().to_vec()
    }
}

impl PendingDelivery {
    /// Sends the message.
    pub(crate) async fn finish(self, job_id: &str, mail: &PreparedMail) -> Result<Delivered, DeliveryError> {
        match self {
            Self::Server(transaction, span) => {
                transaction.finish(mail).await.inspect_err(|error| span.fail(error.label.clone()))
            }
            Self::Folder(folder) => folder.deliver(job_id, mail).await,
        }
    }
}
