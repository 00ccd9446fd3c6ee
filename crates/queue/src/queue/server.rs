//! The server behind a queue: whether it suits, and who is connected to it.

use std::{fmt, time::Duration};

use examhall_redis::{Route, Value};

use super::Queue;
use crate::Error;

/// Oldest Redis whose commands all scripts find.
const OLDEST_REDIS: (u32, u32) = (6, 2);
/// Rest before a server that went away while it was looked at is looked at again.
const REST: Duration = Duration::from_millis(200);

/// Something about the server that may lose jobs, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Redis may throw away jobs when its memory is full; this is its `maxmemory-policy`.
    MayEvict(String),
    /// Redis is older than what this crate is tested with; this is its version.
    TooOld(String),
}

impl fmt::Display for Concern {
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

/// A worker that is connected, of this crate or of BullMQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedWorker {
    /// Its name; empty where it has none.
    pub name: String,
    /// Where it is connected from.
    pub address: String,
    /// For how long, in seconds.
    pub age_seconds: u64,
}

impl<T> Queue<T> {
    /// Waits until Redis is connected, for as long as that takes, and looks whether it suits; what may lose jobs is logged
    /// as a warning that says what to do.
    ///
    /// # Errors
    /// [`Error::NeedsHashTag`] as [`check_server`](Self::check_server); [`Error::Redis`] where the connection was closed
    /// meanwhile, or the server refuses to be looked at.
    pub async fn initialize(&self) -> Result<(), Error> {
        loop {
            self.connection.ready().await?;
            match self.check_server().await {
                Ok(concerns) => {
                    for concern in &concerns {
                        tracing::warn!("{concern}");
                    }
                    return Ok(());
                }
                Err(Error::Redis(error)) if error.is_transient() => {
                    tracing::debug!(%error, "Redis went away again");
                    tokio::time::sleep(REST).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks whether the server suits.
    ///
    /// # Errors
    /// [`Error::NeedsHashTag`] where it is a cluster over whose servers the queue's keys would be spread;
    /// [`Error::Redis`].
    pub async fn check_server(&self) -> Result<Vec<Concern>, Error> {
        let info = self.at_server("INFO", &[]).await?;
        let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        if value("cluster_enabled") == Some("1") && !self.keys.has_hash_tag() {
            return Err(Error::NeedsHashTag { prefix: self.keys.prefix().to_owned() });
        }
        let policy = value("maxmemory_policy").filter(|policy| *policy != "noeviction");
        let version = value("redis_version").filter(|version| is_older(version));
        Ok(policy
            .map(|policy| Concern::MayEvict(policy.to_owned()))
            .into_iter()
            .chain(version.map(|version| Concern::TooOld(version.to_owned())))
            .collect())
    }

    /// The workers that are connected to the queue, as BullMQ's dashboards see them.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn workers(&self) -> Result<Vec<ConnectedWorker>, Error> {
        let list = self.at_server("CLIENT", &["LIST"]).await?;
        let own = self.keys.client_name();
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

    pub(super) async fn at_server(&self, command: &'static str, words: &[&str]) -> Result<String, Error> {
        let meta = self.keys.of("meta");
        let args = words.iter().map(|word| Value::from(*word)).collect();
        Ok(self.connection.command(command, Route::Key(&meta), args).await?)
    }
}

pub(super) fn is_older(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) < OLDEST_REDIS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(is_older("6.0.16") && is_older("5.0.14"));
        assert!(!is_older("6.2.0") && !is_older("7.0.15") && !is_older("10.0.0"));
    }
}
