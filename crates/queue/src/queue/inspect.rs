//! A look at the Redis server for operators: what it is, and how to fix what may lose jobs.

use std::time::Duration;

use examhall_redis::Route;

use super::{Queue, server::is_older};
use crate::Error;

/// How long each step of a log-in may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is looked at, and what to do where it is wrong.
pub const INSPECTIONS: [(&str, &str); 5] = [
    (
        "Redis log-in",
        "correct user, password or TLS in the Redis URL (rediss:// for TLS; percent-encode the password; SSL_CERT_FILE \
         names a private authority)",
    ),
    ("Redis version", "use Redis 6.2 or newer, or Valkey, and let the user ask INFO"),
    ("Redis eviction", "set `maxmemory-policy noeviction`: any other policy throws jobs away when memory is full"),
    (
        "Redis persistence",
        "set `appendonly yes`, and keep snapshots (`save 3600 1`): without them a restart forgets the queue",
    ),
    (
        "Redis Cluster",
        "put braces into the queue's prefix, as in `{bull}`: a cluster then keeps all keys of a queue on one server",
    ),
];

/// What was found about one of [`INSPECTIONS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Which one: the first of the pair.
    pub name: &'static str,
    /// How to fix it: the second.
    pub fix: &'static str,
    /// What was found.
    pub found: String,
    /// How bad that is.
    pub verdict: Suitability,
}

/// Whether a server suits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suitability {
    /// It does.
    Good,
    /// It does, until something else goes wrong.
    Risky,
    /// It does not.
    Bad,
}

impl<T> Queue<T> {
    /// Logs in once more, and looks at version, eviction, persistence and sharding of the server. Never waits for long: a
    /// server that is away, or lets nobody in, is a finding.
    pub async fn inspect(&self) -> Vec<Inspection> {
        let looked = async {
            self.connection.check_login().await?;
            self.connection.ready().await?;
            Ok::<_, Error>(self.at_server("INFO", &[]).await)
        };
        let (found, verdict, rest) = match tokio::time::timeout(PATIENCE * 3, looked).await {
            Ok(Ok(info)) => ("let in".to_owned(), Suitability::Good, self.judge(info)),
            Ok(Err(error)) => (error.to_string(), Suitability::Bad, Vec::new()),
            Err(_) => (format!("no answer within {} s", PATIENCE.as_secs() * 3), Suitability::Bad, Vec::new()),
        };
        let [(name, fix), ..] = INSPECTIONS;
        std::iter::once(Inspection { name, fix, found, verdict }).chain(rest).collect()
    }

    /// What `INFO` says; a user who may not ask it can work, and nobody knows on what.
    fn judge(&self, info: Result<String, Error>) -> Vec<Inspection> {
        let [_, (name, fix), ..] = INSPECTIONS;
        match info {
            Ok(info) => judge(&info, self.keys.has_hash_tag()),
            Err(error) => {
                vec![Inspection { name, fix, found: format!("unknown: {error}"), verdict: Suitability::Risky }]
            }
        }
    }

    /// The server's clock, in ms since 1970.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn server_time(&self) -> Result<i64, Error> {
        Ok(self.connection.time(Route::Key(&self.keys.of("meta"))).await?)
    }
}

fn judge(info: &str, has_hash_tag: bool) -> Vec<Inspection> {
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("?");
    let [_, version_row, eviction_row, persistence_row, cluster_row] = INSPECTIONS;
    let row = |(name, fix), found, verdict| Inspection { name, fix, found, verdict };
    let version = value("redis_version");
    let policy = value("maxmemory_policy");
    let (log, snapshot) = (value("aof_enabled") == "1", value("rdb_last_bgsave_status"));
    let persistence = match (log, snapshot) {
        (_, "err") => ("the last snapshot failed".to_owned(), Suitability::Bad),
        (true, _) => ("append-only file".to_owned(), Suitability::Good),
        (false, _) => ("no append-only file".to_owned(), Suitability::Risky),
    };
    let good = |is_good| if is_good { Suitability::Good } else { Suitability::Bad };
    let mut findings = vec![
        row(version_row, version.to_owned(), good(version != "?" && !is_older(version))),
        row(eviction_row, policy.to_owned(), good(policy == "noeviction")),
        row(persistence_row, persistence.0, persistence.1),
    ];
    if value("cluster_enabled") == "1" {
        let found = if has_hash_tag { "the queue lies on one server" } else { "the queue's keys would be spread" };
        findings.push(row(cluster_row, found.to_owned(), good(has_hash_tag)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_may_lose_jobs_is_found_out() {
        let verdicts = |info: &str| judge(info, false).into_iter().map(|one| one.verdict).collect::<Vec<_>>();
        let good = "redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrdb_last_bgsave_status:ok";
        assert_eq!(verdicts(good), [Suitability::Good; 3]);
        let bad = "redis_version:5.0.1\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nrdb_last_bgsave_status:err";
        assert_eq!(verdicts(bad), [Suitability::Bad; 3]);
        assert_eq!(verdicts(&good.replace("enabled:1", "enabled:0"))[2], Suitability::Risky);
    }

    #[test]
    fn in_a_cluster_the_queue_needs_a_hash_tag() {
        let verdict = |tag| judge("cluster_enabled:1", tag).pop().map(|one| (one.name, one.verdict));
        assert_eq!(verdict(true), Some(("Redis Cluster", Suitability::Good)));
        assert_eq!(verdict(false), Some(("Redis Cluster", Suitability::Bad)));
    }
}
