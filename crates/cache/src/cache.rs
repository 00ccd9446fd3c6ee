//! Reading through, and invalidating.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use examhall_core::CacheKey;
use fred::types::Value;

use crate::{
    Error,
    connection::{Connection, Script},
    entry::{Cached, Fresh},
};

/// How long a loader may take before somebody else may load too.
const LEASE: Duration = Duration::from_secs(2);
/// First and longest pause of somebody who waits for another's load.
const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// The cache. Cheap to clone; clones share its connection.
#[derive(Clone)]
pub struct Cache {
    connection: Connection,
    prefix: Arc<str>,
    scripts: Arc<Scripts>,
}

struct Scripts {
    acquire: Script,
    fill: Script,
    release: Script,
    invalidate: Script,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cache.
    Hit,
    /// The database.
    Miss,
}

enum Acquired {
    Value(Bytes),
    Busy,
    Lease(String),
}

impl Cache {
    /// A cache in the Redis at `url`, whose keys begin with `prefix`. Starts connecting and returns at once.
    ///
    /// # Errors
    /// [`Error::BadUrl`].
    pub fn open(url: &str, prefix: &str) -> Result<Self, Error> {
        let scripts = Scripts {
            acquire: Script::new(include_str!("lua/acquire.lua")),
            fill: Script::new(include_str!("lua/fill.lua")),
            release: Script::new(include_str!("lua/release.lua")),
            invalidate: Script::new(include_str!("lua/invalidate.lua")),
        };
        Ok(Self { connection: Connection::open(url)?, prefix: prefix.into(), scripts: Arc::new(scripts) })
    }

    /// Waits until Redis is connected, for as long as that takes.
    ///
    /// # Errors
    /// [`Error::Redis`] where the cache was closed meanwhile.
    pub async fn ready(&self) -> Result<(), Error> {
        self.connection.ready().await
    }

    /// Asks Redis for a sign of life.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.connection.ping().await
    }

    /// Lets go of the connection.
    pub async fn close(&self) {
        self.connection.close().await;
    }

    /// Gives the value of `key`: from Redis, or from `load`, whose result is then kept for the key's life.
    ///
    /// # Errors
    /// Only those of `load`: while Redis is away, everything is loaded.
    pub async fn get_or_load<K, E>(
        &self,
        key: &K,
        load: impl AsyncFnOnce() -> Result<Fresh<K>, E>,
    ) -> Result<(Cached<K>, Source), E>
    where
        K: CacheKey,
        E: From<serde_json::Error>,
    {
        let keys = self.keys(key);
        let lease = match self.find(&keys).await {
            Ok(Acquired::Value(entry)) => {
                if let Some(cached) = Cached::decode(&entry) {
                    count("l2");
                    return Ok((cached, Source::Hit));
                }
                None // of another version: leave it to that one
            }
            Ok(Acquired::Lease(token)) => Some(token),
            Ok(Acquired::Busy) => None,
            Err(error) => {
                tracing::debug!(%error, "cache bypassed");
                None
            }
        };
        count(if lease.is_some() { "loaded" } else { "bypass" });
        let loaded = load().await.and_then(|fresh| Ok(Cached::from_fresh(fresh)?));
        if let Some(token) = lease {
            self.settle::<K, E>(&keys, token, &loaded).await;
        }
        Ok((loaded?, Source::Miss))
    }

    /// Takes away what stands under the key, and keeps what was read before from being stored.
    ///
    /// # Errors
    /// [`Error::Redis`]: the old value may still be there.
    pub async fn delete<K: CacheKey>(&self, key: &K) -> Result<(), Error> {
        let [value, lease] = self.keys(key);
        self.connection.eval(&self.scripts.invalidate, [&value, &lease], vec![]).await.map(drop)
    }

    /// The keys of value and lease; the braces put the second into the slot of the first.
    fn keys<K: CacheKey>(&self, key: &K) -> [String; 2] {
        let value = format!("{}{}", self.prefix, key.redis_key());
        let lease = format!("cl:{{{value}}}");
        [value, lease]
    }

    /// Looks for the value, waiting while somebody else loads it.
    async fn find(&self, keys: &[String; 2]) -> Result<Acquired, Error> {
        let (mut pause, started) = (POLL.0, Instant::now());
        loop {
            match self.acquire(keys).await? {
                Acquired::Busy if started.elapsed() < LEASE => {
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                    pause = (pause * 2).min(POLL.1);
                }
                acquired => return Ok(acquired),
            }
        }
    }

    async fn acquire(&self, [value, lease]: &[String; 2]) -> Result<Acquired, Error> {
        let token = uuid::Uuid::new_v4().to_string();
        let args = vec![Value::from(token.as_str()), LEASE.as_millis().to_string().into()];
        let answer = self.connection.eval(&self.scripts.acquire, [value, lease], args).await?.into_array();
        let mut answer = answer.into_iter();
        Ok(match answer.next().and_then(|code| code.as_i64()) {
            Some(1) => Acquired::Value(answer.next().and_then(Value::into_bytes).unwrap_or_default()),
            Some(3) => Acquired::Lease(token),
            _ => Acquired::Busy,
        })
    }

    /// Stores what was loaded, or gives the lease back.
    async fn settle<K: CacheKey, E>(&self, [value, lease]: &[String; 2], token: String, loaded: &Result<Cached<K>, E>) {
        let entry = loaded.as_ref().ok().and_then(|cached| cached.encode().ok());
        let settled = match entry {
            Some(entry) => {
                let life = K::LIFE.hard.mul_f64(1.0 - fastrand::f64() / 10.0).as_millis().to_string();
                let args = vec![token.into(), Value::Bytes(entry), life.into()];
                self.connection.eval(&self.scripts.fill, [value, lease], args).await
            }
            None => self.connection.eval(&self.scripts.release, [value, lease], vec![token.into()]).await,
        };
        if let Err(error) = settled {
            tracing::debug!(%error, "cache not filled");
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("cache_requests_total", "outcome" => outcome).increment(1);
}
