//! Delivering a mail: by SMTP (RFC 5321), or into a folder.
//!
//! ```text
//!   Transport ── Provider ── Pool ── Session ── Wire      first provider that is not left alone
//!       │            └────── Breaker                      when it is left alone
//!       └─────── Folder                                   for development
//! ```
//! A mail takes two steps: [`Transport::begin`], after which a server waits for the message, and [`Begun::finish`].
//! What the caller does in between, or meanwhile in the first one, is done before anything is sent.
//!
//! lettre gives the message, the commands and the replies. Its connection is not used: it hides what the server can do,
//! so commands could not be sent together; it reads on after STARTTLS what was sent before; and it does not say whether
//! a message was cut off before its end. A connection belongs to one mail until the dot is answered, and is closed where
//! anything is in doubt.

mod dialogue;
mod fault;
mod folder;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod lease;
mod pool;
mod provider;
mod reply;
mod session;
mod tls;
mod url;
mod wire;

use std::{sync::Arc, time::Duration};

use examhall_boot::traces::{Parent, Span, SpanKind};
use examhall_delivery::RateLimiter;
use examhall_queue::Connection;
use lettre::Address;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    fault::{Fault, Kind, Phase},
    reply::Reply,
    session::Limits,
    url::BadSmtpUrl,
};
use self::{provider::Pending, url::Endpoint};
use crate::{
    breaker::Openness,
    message::Prepared,
    verdict::{Suppress, Trouble, Verdict},
};

pub(crate) use self::{folder::Folder, provider::Provider};

/// Where mails go: servers in order of preference, or a folder.
pub(crate) struct Transport {
    way: Way,
    changes: watch::Sender<()>,
}

enum Way {
    Servers(Vec<Arc<Provider>>),
    Folder(Folder),
}

/// What all providers share.
pub(crate) struct TransportOptions {
    pub(crate) limits: Limits,
    /// How often a refused log-in is tried again.
    pub(crate) hold: Duration,
    /// Where limits shared by all processes are counted.
    pub(crate) redis: Connection,
}

/// A server, or the folder, that waits for the message.
pub(crate) enum Begun<'a> {
    Server(Box<Pending>, Span),
    Folder(&'a Folder),
}

/// What the server said as it took the mail.
pub(crate) struct Delivered {
    pub(crate) response: String,
    pub(crate) accepted: Vec<String>,
    pub(crate) rejected: Vec<Refused>,
    pub(crate) provider: String,
}

/// Why nobody took the mail.
#[derive(Debug)]
pub(crate) struct Undelivered {
    pub(crate) verdict: Verdict,
    /// In the server's own words, where it said any.
    pub(crate) reason: String,
    /// The same for logs: no words of the server, in which an address may stand.
    pub(crate) label: String,
    pub(crate) rejected: Vec<Refused>,
}

/// A recipient that was refused, and what that says of the address.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) address: String,
    pub(crate) reason: String,
    pub(crate) suppress: Suppress,
}

impl Transport {
    /// Reads `SMTP_URL`.
    pub(crate) fn from_url(urls: &str, options: &TransportOptions) -> Result<Self, BadSmtpUrl> {
        let endpoints = urls.split(',').map(|url| Endpoint::parse(url.trim())).collect::<Result<Vec<_>, _>>()?;
        let changes = watch::Sender::new(());
        if let [Endpoint::Folder(path)] = endpoints.as_slice() {
            return Ok(Self { way: Way::Folder(Folder::new(path.clone())), changes });
        }
        let limiter = RateLimiter::new(options.redis.clone(), "mail:rate:");
        let providers = endpoints.into_iter().map(|endpoint| match endpoint {
            Endpoint::Server(server) => Ok(Arc::new(Provider::new(server, options, limiter.clone(), changes.clone()))),
            Endpoint::Folder(_) => Err(BadSmtpUrl::FolderAmongServers),
        });
        Ok(Self { way: Way::Servers(providers.collect::<Result<_, _>>()?), changes })
    }

    /// Finds somebody who waits for the mail: the first provider that has no trouble of its own.
    ///
    /// `meanwhile` is done while a server is told whom the mail is for, and again with the next server that is told.
    pub(crate) async fn begin<F: Future<Output = ()>>(
        &self,
        mail: &Prepared,
        meanwhile: impl Fn() -> F,
    ) -> Result<Begun<'_>, Undelivered> {
        let mut last = None;
        for provider in match &self.way {
            Way::Folder(folder) => return Ok(Begun::Folder(folder)),
            Way::Servers(providers) => providers,
        } {
            let span = Span::begin(SpanKind::Client, "deliver", Parent::current);
            span.set("network.protocol.name", "smtp");
            span.set("server.address", provider.name());
            match provider.begin(mail, &meanwhile).await {
                Ok(pending) => return Ok(Begun::Server(Box::new(pending), span)),
                Err(undelivered) => {
                    span.fail(undelivered.label.clone());
                    if !matches!(undelivered.verdict, Verdict::Provider(_)) {
                        return Err(undelivered);
                    }
                    last = Some(undelivered);
                }
            }
        }
        Err(last.unwrap_or_else(|| Undelivered::left_alone("SMTP_URL names no server".to_owned())))
    }

    /// How much may be sent now, by the provider that can take most.
    pub(crate) fn openness(&self) -> Openness {
        self.providers().map(|provider| provider.openness()).max().unwrap_or(Openness::All)
    }

    /// When the first provider is asked again whether it can take mails; `None` where one can.
    pub(crate) fn next_probe(&self) -> Option<Duration> {
        (self.openness() < Openness::OneByOne).then(|| self.providers().filter_map(|one| one.next_probe()).min())?
    }

    /// For how long nothing could be sent.
    pub(crate) fn silent_for(&self) -> Option<Duration> {
        (self.openness() < Openness::OneByOne).then(|| self.providers().filter_map(|one| one.silent_for()).min())?
    }

    /// Tells of each change of [`openness`](Self::openness).
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Probes providers that are left alone, until `stop`. `from` is `MAIL_FROM`.
    pub(crate) fn watch(&self, from: &Address, stop: &CancellationToken) {
        for provider in self.providers() {
            tokio::spawn(Arc::clone(provider).watch(from.clone(), stop.clone()));
        }
    }

    /// Closes the connections that wait for a mail, as servers like it. Mails that are under way go on.
    pub(crate) async fn leave(&self) {
        for provider in self.providers() {
            provider.leave().await;
        }
    }

    /// The folder that mails are written into, where they are.
    pub(crate) fn folder(&self) -> Option<&Folder> {
        match &self.way {
            Way::Folder(folder) => Some(folder),
            Way::Servers(_) => None,
        }
    }

    /// The servers that mails are sent to.
    pub(crate) fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        match &self.way {
            Way::Servers(providers) => providers.as_slice(),
            Way::Folder(_) => &[],
        }
        .iter()
    }
}

impl Begun<'_> {
    /// Sends the message.
    pub(crate) async fn finish(self, job_id: &str, mail: &Prepared) -> Result<Delivered, Undelivered> {
        match self {
            Self::Server(pending, span) => {
                pending.finish(mail).await.inspect_err(|undelivered| span.fail(undelivered.label.clone()))
            }
            Self::Folder(folder) => folder.deliver(job_id, mail).await,
        }
    }
}

impl Undelivered {
    fn left_alone(reason: String) -> Self {
        Self { verdict: Verdict::Provider(Trouble::Passing), label: reason.clone(), reason, rejected: Vec::new() }
    }
}
