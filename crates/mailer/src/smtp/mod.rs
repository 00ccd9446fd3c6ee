//! Delivering a mail: by SMTP (RFC 5321), or into a folder.
//!
//! lettre's own transport is not used: its pool takes a connection back whose send was cancelled, and then gives the
//! next mail the reply of the last one; it limits the time of connecting only; and it takes a 3yz after the dot for
//! acceptance. Here a connection belongs to one send until the dot is answered by a 2yz; after anything else it is closed.

mod dialogue;
mod folder;
mod url;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub(crate) use self::url::BadSmtpUrl;
use self::{
    dialogue::{Connection, Fault},
    folder::Folder,
    url::{Endpoint, Server},
};
use crate::message::Prepared;

/// Where mails go: servers in order of preference, or a folder.
pub(crate) enum Transport {
    Servers(Vec<Provider>),
    Folder(Folder),
}

/// One server, with connections that wait for the next mail.
pub(crate) struct Provider {
    server: Server,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

/// What the server said as it took the mail.
pub(crate) struct Delivered {
    pub(crate) response: String,
    pub(crate) accepted: Vec<String>,
    pub(crate) rejected: Vec<String>,
    pub(crate) provider: String,
}

/// Why nobody took the mail.
pub(crate) struct Undelivered {
    /// In the server's own words, where it said any.
    pub(crate) reason: String,
    /// Whether no further try can help.
    pub(crate) is_final: bool,
    /// Whether it may have been taken all the same.
    pub(crate) is_ambiguous: bool,
    /// Whether it is the server's trouble and not this mail's.
    pub(crate) is_provider: bool,
}

impl Transport {
    /// Reads `SMTP_URL`; no phase of a dialogue takes longer than `timeout`.
    pub(crate) fn from_url(urls: &str, timeout: Duration) -> Result<Self, BadSmtpUrl> {
        let endpoints = urls.split(',').map(|url| Endpoint::parse(url.trim())).collect::<Result<Vec<_>, _>>()?;
        if let [Endpoint::Folder(path)] = endpoints.as_slice() {
            return Ok(Self::Folder(Folder::new(path.clone())));
        }
        let providers = endpoints.into_iter().map(|endpoint| match endpoint {
            Endpoint::Server(server) => Ok(Provider { server, timeout, idle: Mutex::default() }),
            Endpoint::Folder(_) => Err(BadSmtpUrl::FolderAmongServers),
        });
        providers.collect::<Result<_, _>>().map(Self::Servers)
    }

    /// Delivers a mail once: to the first server that can be talked to.
    pub(crate) async fn deliver(&self, job_id: &str, mail: &Prepared) -> Result<Delivered, Undelivered> {
        let providers = match self {
            Self::Folder(folder) => return folder.deliver(job_id, mail).await,
            Self::Servers(providers) => providers,
        };
        let mut last = None;
        for provider in providers {
            match provider.deliver(mail).await {
                Ok(delivered) => return Ok(delivered),
                Err(fault) if fault.before_the_mail() => last = Some(fault),
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(last.map_or_else(|| Fault::no_server().into(), Undelivered::from))
    }
}

impl Provider {
    async fn deliver(&self, mail: &Prepared) -> Result<Delivered, Fault> {
        if let Some(mut connection) = self.take_idle() {
            match connection.send(mail).await {
                Ok(delivered) => return Ok(self.keep(connection, delivered)),
                // The server had closed it meanwhile, or says so now: that says nothing about the mail.
                Err(fault) if fault.is_stale_connection() => {}
                Err(fault) => return Err(fault),
            }
        }
        let mut connection = Connection::open(&self.server, self.timeout).await?;
        let delivered = connection.send(mail).await?;
        Ok(self.keep(connection, delivered))
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Only a connection whose last mail was accepted gets here: its dialogue is where it should be.
    fn keep(&self, connection: Connection, delivered: Delivered) -> Delivered {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        delivered
    }
}
