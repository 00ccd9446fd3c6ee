//! Transport: providers in order of preference with failover, or a folder.

use std::{sync::Arc, time::Duration};

use examhall_boot::traces::{Parent, Span, SpanKind};
use examhall_delivery::RateLimiter;
use lettre::Address;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    circuit_breaker::CircuitState,
    delivery::{Delivered, DeliveryError},
    folder::Folder,
    provider::{Provider, ProviderOptions, Transaction},
    retry_policy::FailureClass,
    url::{BadSmtpUrl, Endpoint},
};
use crate::message::PreparedMail;

/// The destination of all mails: servers in order of preference, or a folder.
pub(crate) struct Transport {
    destination: Destination,
    changes: watch::Sender<()>,
}

enum Destination {
    Servers(Vec<Arc<Provider>>),
    Folder(Folder),
}

/// A server or folder that waits for the message.
pub(crate) enum PendingDelivery<'a> {
    Server(Box<Transaction>, Span),
    Folder(&'a Folder),
}

impl Transport {
    /// Parses `SMTP_URL`.
    pub(crate) fn from_url(urls: &str, options: &ProviderOptions) -> Result<Self, BadSmtpUrl> {
        let endpoints = urls
            .split(',')
            .map(|url| Endpoint::parse(url.trim(), &options.ehlo_name))
            .collect::<Result<Vec<_>, _>>()?;
        let changes = watch::Sender::new(());
        if let [Endpoint::Folder(path)] = endpoints.as_slice() {
            return Ok(Self { destination: Destination::Folder(Folder::new(path.clone())), changes });
        }
        let limiter = RateLimiter::new(options.redis.clone(), "mail:rate:");
        let providers = endpoints.into_iter().map(|endpoint| match endpoint {
            Endpoint::Server(server) => Ok(Arc::new(Provider::new(server, options, limiter.clone(), changes.clone()))),
            Endpoint::Folder(_) => Err(BadSmtpUrl::FolderAmongServers),
        });
        Ok(Self { destination: Destination::Servers(providers.collect::<Result<_, _>>()?), changes })
    }

    /// Begins the delivery at the first provider without a failure of its own.
    ///
    /// `during_envelope` runs while the envelope is sent, and again for each further provider that is tried.
    pub(crate) async fn begin<F: Future<Output = ()>>(
        &self,
        mail: &PreparedMail,
        during_envelope: impl Fn() -> F,
    ) -> Result<PendingDelivery<'_>, DeliveryError> {
        let mut last = None;
        for provider in match &self.destination {
            Destination::Folder(folder) => return Ok(PendingDelivery::Folder(folder)),
            Destination::Servers(providers) => providers,
        } {
            let span = Span::begin(SpanKind::Client, "deliver", Parent::current);
            span.set("network.protocol.name", "smtp");
            span.set("server.address", provider.name());
            match provider.begin(mail, &during_envelope).await {
                Ok(transaction) => return Ok(PendingDelivery::Server(Box::new(transaction), span)),
                Err(error) => {
                    span.fail(error.label.clone());
                    if !matches!(error.class, FailureClass::Provider(_) | FailureClass::BrokeOff) {
                        return Err(error);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| DeliveryError::unavailable("SMTP_URL names no server".to_owned())))
    }

    /// Circuit state of the provider that can take most.
    pub(crate) fn circuit_state(&self) -> CircuitState {
        self.providers().map(|provider| provider.circuit_state()).max().unwrap_or(CircuitState::Closed)
    }

    /// Time until the next probe of a provider; `None` if one takes mails.
    pub(crate) fn next_probe(&self) -> Option<Duration> {
        (!self.circuit_state().allows_mail()).then(|| self.providers().filter_map(|one| one.next_probe()).min())?
    }

    /// How long no provider has taken mails; `None` if one does.
    pub(crate) fn unavailable_for(&self) -> Option<Duration> {
        (!self.circuit_state().allows_mail()).then(|| self.providers().filter_map(|one| one.open_for()).min())?
    }

    /// Number of messages whose reply is late.
    pub(crate) fn late(&self) -> usize {
        self.providers().map(|provider| provider.late()).sum()
    }

    /// Notifies of each change of [`circuit_state`](Self::circuit_state).
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Probes providers whose circuit is open, until `stop`. `from` is `MAIL_FROM`.
    pub(crate) fn watch(&self, from: &Address, stop: &CancellationToken) {
        for provider in self.providers() {
            tokio::spawn(Arc::clone(provider).watch(from.clone(), stop.clone()));
        }
    }

    /// Closes idle connections with QUIT. Mails in flight continue.
    pub(crate) async fn close_idle(&self) {
        for provider in self.providers() {
            provider.close_idle().await;
        }
    }

    /// The folder that mails are written into, if `SMTP_URL` names one.
    pub(crate) fn folder(&self) -> Option<&Folder> {
        match &self.destination {
            Destination::Folder(folder) => Some(folder),
            Destination::Servers(_) => None,
        }
    }

    /// The servers that mails are sent to.
    pub(crate) fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        match &self.destination {
            Destination::Servers(providers) => providers.as_slice(),
            Destination::Folder(_) => &[],
        }
        .iter()
    }
}

impl PendingDelivery<'_> {
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
