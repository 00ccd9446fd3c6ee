//! The server of a queue: whether it is suitable, and which workers are connected to it.

use std::{fmt, time::Duration};

use super::Queue;
use crate::Error;

/// Oldest Redis with the commands that the scripts use.
const OLDEST_REDIS: (u32, u32) = (6, 2);
/// Backoff before a server is checked again.
const BACKOFF: Duration = Duration::from_millis(200);

/// Why a server may lose jobs; its text says how to fix that.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// for warning in queue.check_server().await? {
///     eprintln!("{warning}"); // says how to fix it
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerWarning {
    /// Redis may evict jobs when its memory is full; this is its `maxmemory-policy`.
    MayEvict(String),
    /// Redis is older than this crate supports; this is its version.
    TooOld(String),
}

impl fmt::Display for ServerWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MayEvict(policy) => write!(
                f,
                "Redis may throw away jobs when its memory is full: set maxmemory-policy to noeviction (it is {policy})"
            ),
            Self::TooOld(version) => {
                let (major, minor) = OLDEST_REDIS;
                write!(f, "Redis {version} is too old: use {major}.{minor} or newer")
            }
        }
    }
}

/// A connected worker, of this crate or of BullMQ.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// for worker in queue.workers().await? {
///     println!("{} at {}, for {} s", worker.name, worker.address, worker.age_seconds);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectedWorker {
    /// Its name; empty if it has none.
    pub name: String,
    /// Address that it is connected from.
    pub address: String,
    /// Age of the connection in seconds.
    pub age_seconds: u64,
}

impl<T> Queue<T> {
    /// Waits until Redis is connected, without a timeout, and checks the server; logs a warning for each
    /// [`ServerWarning`], and if the server rejects the check.
    ///
    /// # Errors
    /// Returns [`Error::NeedsHashTag`] as [`check_server`](Self::check_server), or [`Error::Redis`] if the connection was
    /// closed.
    pub async fn initialize(&self) -> Result<(), Error> {
        loop {
            self.connection().ready().await?;
            match self.check_server().await {
                Ok(warnings) => {
                    for warning in &warnings {
                        tracing::warn!("{warning}");
                    }
                    return Ok(());
                }
                Err(Error::Redis(error)) if error.is_transient() => {
                    tracing::debug!(%error, "Redis went away during the check of the server");
                    tokio::time::sleep(BACKOFF).await;
                }
                Err(error @ Error::NeedsHashTag { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "Redis could not be checked");
                    return Ok(());
                }
            }
        }
    }

    /// Checks whether the server may lose jobs.
    ///
    /// # Errors
    /// Returns [`Error::NeedsHashTag`] if it is a cluster and the queue's keys would be spread over its servers, or
    /// [`Error::Redis`].
    pub async fn check_server(&self) -> Result<Vec<ServerWarning>, Error> {
        let info: String = self.client.at_server("INFO", &[]).await?;
        let keys = self.client.keys();
        if info_field(&info, "cluster_enabled") == Some("1") && !keys.has_hash_tag() {
            return Err(Error::NeedsHashTag { prefix: keys.prefix().to_owned() });
        }
        let policy = info_field(&info, "maxmemory_policy").filter(|policy| *policy != "noeviction");
        let version = info_field(&info, "redis_version").filter(|version| is_too_old(version));
        let policy = policy.map(|policy| ServerWarning::MayEvict(policy.to_owned()));
        let version = version.map(|version| ServerWarning::TooOld(version.to_owned()));
        Ok(policy.into_iter().chain(version).collect())
    }

    /// Lists the workers that are connected to the queue, as BullMQ's dashboards see them.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn workers(&self) -> Result<Vec<ConnectedWorker>, Error> {
        let list: String = self.client.at_server("CLIENT", &["LIST"]).await?;
        let own = self.client.keys().client_name();
        let named = format!("{own}:w:");
        let worker = |line: &str| {
            let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            let name = field("name")?;
            let name = if name == own { "" } else { name.strip_prefix(&named)? };
            Some(ConnectedWorker {
                name: name.to_owned(),
                address: field("addr")?.to_owned(),
                age_seconds: field("age")?.parse().ok()?,
            })
        };
        Ok(list.lines().filter_map(worker).collect())
    }
}

/// Returns a field of the answer of `INFO`.
pub(super) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

pub(super) fn is_too_old(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) < OLDEST_REDIS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(is_too_old("6.0.16") && is_too_old("5.0.14"));
        assert!(!is_too_old("6.2.0") && !is_too_old("7.0.15") && !is_too_old("10.0.0"));
    }
}
