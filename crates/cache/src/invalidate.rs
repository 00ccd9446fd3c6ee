//! Invalidation: before a commit, after it, or without one; repeated where Redis did not confirm it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use crate::{
    Cache, CacheKey, Error, Event, Group, KeyName,
    cache::Inner,
    connection::{busy_aware_sleep, is_absence},
    keys::RedisKeys,
    redis::{InvalidationKind, Redis, Wait},
};

/// First and longest pause between attempts to deliver an unconfirmed invalidation.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Keys that one script invalidates, for which Redis serves nobody else for some milliseconds.
const KEYS_PER_SCRIPT: usize = 512;
/// Scripts that run concurrently, each on a slot of its own of a cluster: with more, the last answers would come after
/// their time limit.
const CONCURRENCY: usize = 256;

impl Cache {
    /// Removes the value of a key in all processes, and keeps values that were read before from being stored.
    ///
    /// # Errors
    /// Returns [`Error::Key`] if the key is outside the key spaces, [`Error::Redis`] if other processes may still serve the
    /// old value; it is retried in the background.
    pub async fn delete<K: CacheKey>(&self, key: &K) -> Result<(), Error> {
        self.delete_many(std::slice::from_ref(key)).await
    }

    /// As [`delete`](Self::delete), for many keys in one round trip.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub async fn delete_many<K: CacheKey>(&self, keys: &[K]) -> Result<(), Error> {
        let names: Vec<String> = keys.iter().map(|key| self.inner.name(key)).collect();
        for name in &names {
            self.inner.spaces.check_key(name)?;
        }
        self.inner.invalidate(&names, InvalidationKind::Delete, "delete").await
    }

    /// Removes the values of all keys of a group in all processes, as [`delete`](Self::delete) does for one.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub async fn delete_group(&self, group: &Group) -> Result<(), Error> {
        let name = self.inner.with_prefix(&group.key_name());
        self.inner.spaces.check_key(&name)?;
        self.inner.invalidate(&[name], InvalidationKind::Delete, "delete").await
    }

    /// Removes the values of these keys, given without prefix, which `commit` is about to change. Until
    /// [`after_commit`](Self::after_commit), or for 10 s if that never comes, nothing is stored under them.
    ///
    /// It takes 50 ms at most, however many keys there are: a transaction is open meanwhile. While the circuit to Redis is
    /// open it does not wait at all.
    pub async fn before_commit(&self, commit: uuid::Uuid, keys: &[String]) {
        let (commit, names, wait) = (commit.to_string(), self.inner.names(keys), Wait::begin());
        let servers: Vec<_> = self.inner.by_server(&names).into_iter().filter_map(|(redis, _)| redis).collect();
        let is_away = !servers.is_empty() && servers.iter().all(|redis| redis.is_circuit_open());
        let announced = tokio::select! {
            biased; // it is sent in any case
            result = self.inner.invalidate(&names, InvalidationKind::Mark(&commit), "mark") => result,
            () = busy_aware_sleep(if is_away { Duration::ZERO } else { self.inner.settings.silence() }) => Err(Error::Slow),
        };
        // A failure is made up for after the commit; until then the old value is still true.
        if let Err(error) = announced {
            for redis in servers.iter().filter(|_| !is_away) {
                redis.waited_in_vain(wait);
            }
            tracing::debug!(%error, "a commit was not announced to the cache");
        }
    }

    /// Removes the values of these keys after `commit` has succeeded or failed. Returns whether every process that Redis
    /// reaches has dropped them. If not, this process has, retries in the background, and does not read these keys from
    /// Redis meanwhile.
    pub async fn after_commit(&self, commit: uuid::Uuid, keys: &[String]) -> bool {
        self.inner.clear(commit, keys, "commit").await
    }

    /// Removes the values of these keys after a commit of which it is not known whether it has ended: it may still happen,
    /// so its mark stays until it expires. Returns what [`after_commit`](Self::after_commit) does.
    pub async fn after_unknown_commit(&self, keys: &[String]) -> bool {
        self.inner.remove(keys).await
    }

    /// Removes the values of these keys, given without prefix, for a commit of a process that could not do so.
    pub async fn replay(&self, commit: uuid::Uuid, keys: &[String]) -> bool {
        self.inner.clear(commit, keys, "outbox").await
    }
}

impl Inner {
    /// Removes the values of these keys, given without prefix, after a commit that has ended.
    pub(crate) async fn clear(&self, commit: uuid::Uuid, keys: &[String], origin: &'static str) -> bool {
        let commit = commit.to_string();
        self.invalidate(&self.names(keys), InvalidationKind::Clear(&commit), origin).await.is_ok()
    }

    /// Removes the values of these keys, given without prefix, after a commit of which it is not known whether it has
    /// ended, and its mark.
    pub(crate) async fn unmark(&self, commit: uuid::Uuid, keys: &[String]) -> bool {
        let commit = commit.to_string();
        self.invalidate(&self.names(keys), InvalidationKind::Unmark(&commit), "commit").await.is_ok()
    }

    /// Removes the values of these keys, given without prefix, whatever is being committed.
    pub(crate) async fn remove(&self, keys: &[String]) -> bool {
        self.invalidate(&self.names(keys), InvalidationKind::Delete, "commit").await.is_ok()
    }

    /// Repeats to a server the recent invalidations of this process. Returns whether it has taken them; not if it is a node of
    /// a cluster without slots.
    pub(crate) async fn repeat_recent(&self, redis: &Redis) -> bool {
        // A key without a value shows whether Redis takes writes: one that refuses them must not be read.
        let slots = self.servers.slots_of(redis);
        let Some(probe) = self.servers.own_key(&slots, &self.with_prefix("none")) else { return false };
        let recent = self.pending.recent().into_iter().filter(|name| slots.contains(self.servers.slot(name)));
        let names: BTreeSet<String> = recent.chain([probe]).collect();
        let names: Vec<_> = names.into_iter().collect();
        let sent = self.send(&names, InvalidationKind::Delete, |names, is_confirmed| {
            names.iter().filter(|_| is_confirmed).for_each(|name| self.pending.record(name, true));
        });
        sent.await.is_ok()
    }

    fn names(&self, keys: &[String]) -> Vec<String> {
        keys.iter().map(|key| self.with_prefix(key)).collect()
    }

    async fn invalidate(
        &self,
        names: &[String],
        kind: InvalidationKind<'_>,
        origin: &'static str,
    ) -> Result<(), Error> {
        let (began, is_final) = (Instant::now(), !matches!(kind, InvalidationKind::Mark(_)));
        for name in names {
            self.drop_local(name);
        }
        if self.servers.is_none() {
            self.events.send(|| Event::Invalidated { keys: names.into(), origin, is_confirmed: true });
            return Ok(());
        }
        // What Redis may forget of commits the journal reports again.
        let is_in_journal = self.journal.is_followed() && matches!(kind, InvalidationKind::Clear(_));
        for name in names.iter().filter(|_| is_final && !is_in_journal) {
            self.pending.add_recent(name);
        }
        let result = self.send(names, kind, |names, is_confirmed| {
            let result = if is_confirmed { "ok" } else { "failed" };
            metrics::counter!("cache_invalidations_total", "origin" => origin, "result" => result)
                .increment(names.len() as u64);
            for name in names.iter().filter(|_| is_final) {
                self.pending.record(name, is_confirmed);
            }
        });
        let result = result.await;
        if is_final {
            metrics::histogram!("cache_invalidation_lag_seconds").record(began.elapsed());
        }
        self.events.send(|| Event::Invalidated { keys: names.into(), origin, is_confirmed: result.is_ok() });
        // Again: a load that began meanwhile may have found the old value in Redis.
        for name in names {
            self.drop_local(name);
        }
        result
    }

    /// Sends one kind of invalidation for keys, many in one script, and calls `ended` with the keys of each script and
    /// whether Redis has confirmed it.
    async fn send(
        &self,
        names: &[String],
        kind: InvalidationKind<'_>,
        mut ended: impl FnMut(&[String], bool),
    ) -> Result<(), Error> {
        let mut sent = self.send_once(names, kind).await;
        let is_redirected = |sent: &mut Sent| sent.answer.as_ref().is_err_and(|error| self.servers.redirect(error));
        let redirected: Vec<String> = sent.extract_if(.., is_redirected).flat_map(|sent| sent.names).collect();
        if !redirected.is_empty() {
            sent.extend(self.send_once(&redirected, kind).await);
        }
        let mut result = Ok(());
        for Sent { names, answer } in sent {
            ended(&names, answer.is_ok());
            result = result.and(answer);
        }
        result
    }

    async fn send_once(&self, names: &[String], kind: InvalidationKind<'_>) -> Vec<Sent> {
        let by_server = self.by_server(names);
        let sends = by_server.into_iter().map(async |(redis, names)| match redis {
            Some(redis) => self.send_to(&redis, &names, kind).await,
            None => vec![Sent { names, answer: Err(Error::Bypassed) }],
        });
        join_all(sends).await.into_iter().flatten().collect()
    }

    /// Distributes keys to the servers that have them; to none while no master of a cluster is known.
    fn by_server(&self, names: &[String]) -> Vec<(Option<Arc<Redis>>, Vec<String>)> {
        let mut by_server: BTreeMap<_, (_, Vec<String>)> = BTreeMap::new();
        for name in names {
            let redis = self.servers.of(name);
            let number = redis.as_ref().map(|redis| redis.number);
            by_server.entry(number).or_insert_with(|| (redis, Vec::new())).1.push(name.clone());
        }
        by_server.into_values().collect()
    }

    /// Sends keys to one server. Once it does not answer the rest fails at once.
    async fn send_to(&self, redis: &Redis, names: &[String], kind: InvalidationKind<'_>) -> Vec<Sent> {
        let is_cluster = redis.master.is_some();
        let (mut sent, mut is_absent) = (Vec::new(), false);
        for scripts in scripts(names, is_cluster).chunks(if is_cluster { CONCURRENCY } else { 1 }) {
            let run = async |names: &Vec<String>| {
                let keys: Vec<_> = names.iter().map(|name| RedisKeys::of(name, &[], self.space(name))).collect();
                if is_absent { Err(Error::Slow) } else { redis.invalidate_all(&keys, kind).await }
            };
            let answers = join_all(scripts.iter().map(run)).await;
            is_absent |= answers.iter().any(|answer| answer.as_ref().is_err_and(is_absence));
            sent.extend(scripts.iter().cloned().zip(answers).map(|(names, answer)| Sent { names, answer }));
        }
        sent
    }

    /// Retries unconfirmed invalidations, forever.
    pub(crate) async fn retry_unconfirmed(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let names = self.pending.unconfirmed();
            if names.is_empty() {
                pause = FIRST_PAUSE;
                self.pending.added().await;
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
            let sent = self.send(&names, InvalidationKind::Delete, |names, is_confirmed| {
                for name in names.iter().filter(|_| is_confirmed) {
                    self.pending.record(name, true);
                    self.drop_local(name);
                    metrics::counter!("cache_invalidations_total", "origin" => "retry", "result" => "ok").increment(1);
                }
            });
            drop(sent.await); // what has failed stays unconfirmed
        }
    }
}

/// Keys of one script, and its answer.
struct Sent {
    names: Vec<String>,
    answer: Result<(), Error>,
}

/// Distributes keys to scripts: in a cluster, each takes keys of one slot.
fn scripts(names: &[String], is_cluster: bool) -> Vec<Vec<String>> {
    let mut by_slot: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for name in names {
        let slot = if is_cluster { examhall_redis::slot(name) } else { 0 };
        by_slot.entry(slot).or_default().push(name.clone());
    }
    by_slot.values().flat_map(|names| names.chunks(KEYS_PER_SCRIPT).map(<[_]>::to_vec)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_take_512_keys_or_a_slot_of_a_cluster() {
        let names: Vec<String> = (0..1_500).map(|n| format!("exam:{n}")).collect();
        let sizes: Vec<_> = scripts(&names, false).iter().map(Vec::len).collect();
        assert_eq!(sizes, [512, 512, 476]);
        let in_cluster = scripts(&names, true);
        assert!(in_cluster.iter().all(|names| names.iter().all(|name| slot(name) == slot(&names[0]))));
        let mut sent = in_cluster.concat();
        sent.sort();
        let mut all = names.clone();
        all.sort();
        assert_eq!(sent, all);
        assert_eq!(scripts(&[], false), Vec::<Vec<String>>::new());
        let same = ["exam:{a}:1", "exam:{a}:2", "exam:{b}:1"].map(String::from);
        assert_eq!(scripts(&same, true).len(), 2, "a tag in braces keeps keys together");
    }

    fn slot(name: &str) -> u16 {
        examhall_redis::slot(name)
    }
}
