//! Values and the leases to load them: acquire, fill, renew, release.

use std::time::Duration;

use bytes::Bytes;
use examhall_redis::{Route, Value};
use futures_util::future::join_all;

use super::{LARGE, Redis, ms};
use crate::{
    Error,
    acquire::{Acquired, LeaseToken, Refresh},
    connection::command,
    keys::RedisKeys,
    script,
};

/// Larger values are written on a connection of their own, so that small ones do not wait behind them; in bytes.
const BULK: usize = 32 * 1024;
/// Keys that one script acquires, for which Redis serves nobody else.
const KEYS_PER_SCRIPT: usize = 64;
/// How long it is remembered that a value is too large for Redis.
const UNSTORED: Duration = Duration::from_mins(1);
/// Time allowed per byte of a large value.
const PER_BYTE: Duration = Duration::from_nanos(250);

impl Redis {
    /// Returns the value, or the lease with which to load it.
    pub(crate) async fn acquire(&self, keys: &RedisKeys, refresh: Refresh) -> Result<Acquired, Error> {
        if matches!(refresh, Refresh::Never)
            && let Some(found) = self.glance(keys).await?
        {
            return Ok(found);
        }
        let token = LeaseToken::draw();
        // Not more at once than are answered in time: what waits in this process is not Redis's delay.
        let _turn = self.turns.acquire().await;
        let answer = self.guarded(self.ask(keys, &token, refresh, self.health.settings.bulk_timeout)).await;
        self.acquired(keys, token, answer).await
    }

    /// As [`acquire`](Self::acquire) without a refresh, for many keys in one round trip; not in a cluster, where they are in
    /// many slots.
    pub(crate) async fn acquire_many(&self, keys: &[RedisKeys]) -> Vec<Result<Acquired, Error>> {
        if self.master.is_some() || keys.len() == 1 {
            return join_all(keys.iter().map(|keys| self.acquire(keys, Refresh::Never))).await;
        }
        join_all(keys.chunks(KEYS_PER_SCRIPT).map(|keys| self.acquire_in_one_script(keys)))
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn acquire_in_one_script(&self, keys: &[RedisKeys]) -> Vec<Result<Acquired, Error>> {
        let tokens: Vec<_> = keys.iter().map(|_| LeaseToken::draw()).collect();
        let of_each = keys.iter().zip(&tokens).flat_map(|(keys, token)| [token.to_arg(), count(keys)]);
        let args = [ms(self.health.settings.lease), LARGE.into()].into_iter().chain(of_each).collect();
        let names: Vec<&str> = keys.iter().flat_map(RedisKeys::all).collect();
        let answer =
            self.guarded(script::ACQUIRE_MANY.run(self.bulk(), self.health.settings.bulk_timeout, &names, args)).await;
        let is_bypassed = matches!(answer, Err(Error::Bypassed));
        let mut answers = answer.map(Value::into_array).unwrap_or_default().into_iter();
        let acquired = keys.iter().zip(tokens).map(|(keys, token)| {
            let refused = if is_bypassed { Error::Bypassed } else { Error::Slow };
            self.acquired(keys, token, answers.next().ok_or(refused))
        });
        join_all(acquired).await
    }

    /// Returns the value, or the lease if there is none. If another process `is_loading`, it waits longer, even if the
    /// circuit is open: that load goes on meanwhile, and a second one would take as long.
    pub(crate) async fn acquire_value(&self, keys: &RedisKeys, is_loading: bool) -> Result<Acquired, Error> {
        if !is_loading {
            return self.acquire(keys, Refresh::Never).await;
        }
        let token = LeaseToken::draw();
        let answer = self.ask(keys, &token, Refresh::Never, self.health.settings.busy_timeout()).await;
        if answer.is_ok() {
            self.note(&answer);
        }
        self.acquired(keys, token, answer).await
    }

    async fn ask(
        &self,
        keys: &RedisKeys,
        token: &LeaseToken,
        refresh: Refresh,
        timeout: Duration,
    ) -> Result<Value, Error> {
        let (longest_ttl, unreadable) = refresh.into_args();
        let args = [token.to_arg(), ms(self.health.settings.lease), longest_ttl, LARGE.into()]
            .into_iter()
            .chain(unreadable)
            .collect();
        script::ACQUIRE.run(&self.commands, timeout, &keys.all().collect::<Vec<_>>(), args).await
    }

    async fn acquired(
        &self,
        keys: &RedisKeys,
        token: LeaseToken,
        answer: Result<Value, Error>,
    ) -> Result<Acquired, Error> {
        match answer.map(|answer| Acquired::of(answer, token.clone(), keys.space)) {
            Ok(Acquired::Large { bytes, ttl }) => {
                let value = self.large(&keys.names[0], bytes).await?;
                // If it was removed meanwhile, it is worth asking again soon.
                Ok(value.map_or(Acquired::Busy, |bytes| Acquired::Value { bytes, ttl }))
            }
            Ok(acquired) => Ok(acquired),
            Err(Error::Bypassed) => Err(Error::Bypassed),
            Err(error) => {
                self.release_in_background(keys, &token); // the acquisition may still arrive
                Err(error)
            }
        }
    }

    /// Reads a large value. While it arrives nothing else does on its connection.
    pub(super) async fn large(&self, name: &str, bytes: usize) -> Result<Option<Bytes>, Error> {
        command(self.bulk(), self.large_timeout(bytes), "GET", Route::Key(name), vec![name.into()]).await
    }

    /// Stores a value, if nothing was invalidated since its lease was granted. Returns whether it was stored.
    pub(crate) async fn fill(
        &self,
        keys: &RedisKeys,
        token: &LeaseToken,
        generations: &str,
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, Error> {
        let (bytes, names) = (value.len(), keys.all().collect::<Vec<_>>());
        let args = vec![token.to_arg(), Value::Bytes(value), ms(ttl), generations.into()];
        // Sent even if the breaker is open: the lease was granted, and other readers wait for this value.
        let (connection, timeout) = if bytes > BULK {
            (self.bulk(), self.large_timeout(bytes))
        } else {
            (&self.commands, self.health.settings.redis_timeout)
        };
        let stored = script::FILL.run(connection, timeout, &names, args).await.map(|code: i64| code == 1);
        let result = match &stored {
            Ok(true) => "ok",
            Ok(false) => "rejected",
            Err(_) => "error",
        };
        metrics::counter!("cache_fill_total", "result" => result, "ns" => keys.space).increment(1);
        stored
    }

    /// Renews a lease. Sent even if the breaker is open: a lease that ends costs another load.
    pub(crate) async fn renew(&self, keys: &RedisKeys, token: &LeaseToken) {
        let args = vec![token.to_arg(), ms(self.health.settings.lease)];
        if let Err(error) = script::RENEW.run::<()>(&self.commands, self.renewal(), &keys.names, args).await {
            tracing::debug!(%error, "a lease was not renewed");
        }
    }

    pub(crate) async fn release(&self, keys: &RedisKeys, token: &LeaseToken) {
        if let Err(error) = self.give_back(keys, token, Duration::ZERO).await {
            tracing::debug!(%error, "a lease was not released, and expires");
        }
    }

    /// Releases a lease whose value is too large to be stored: until it is invalidated, every process loads for itself.
    /// Returns whether nothing was invalidated since the lease was granted.
    pub(crate) async fn release_unstored(&self, keys: &RedisKeys, token: &LeaseToken) -> Result<bool, Error> {
        self.give_back(keys, token, UNSTORED).await
    }

    async fn give_back(&self, keys: &RedisKeys, token: &LeaseToken, unstored: Duration) -> Result<bool, Error> {
        let args = vec![token.to_arg(), ms(unstored)];
        let released: i64 =
            script::RELEASE.run(&self.commands, self.health.settings.redis_timeout, &keys.names, args).await?;
        Ok(released == 1)
    }

    fn large_timeout(&self, bytes: usize) -> Duration {
        self.health.settings.bulk_timeout + PER_BYTE * u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    fn release_in_background(&self, keys: &RedisKeys, token: &LeaseToken) {
        let args = vec![token.to_arg(), ms(Duration::ZERO)];
        let (commands, names, timeout) = (self.commands.clone(), keys.names.clone(), self.health.settings.bulk_timeout);
        tokio::spawn(async move { script::RELEASE.run::<()>(&commands, timeout, &names, args).await });
    }
}

fn count(keys: &RedisKeys) -> Value {
    keys.count().to_string().into()
}
