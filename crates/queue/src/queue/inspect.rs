//! Inspects the Redis server for operators: what may lose jobs, and how to fix it.

use std::time::Duration;

use super::{
    Queue,
    server::{info_field, is_too_old},
};
use crate::Error;

/// Time limit of an inspection: 3 s for each step of a login.
const TIMEOUT: Duration = Duration::from_secs(9);

/// Names of the checks, with how to fix what fails.
pub const INSPECTIONS: [(&str, &str); 5] = [
    (
        "Redis login",
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

/// Result of one of [`INSPECTIONS`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// Name of the check.
    pub name: &'static str,
    /// How to fix what fails.
    pub fix: &'static str,
    /// What was found.
    pub found: String,
    /// How suitable that is.
    pub verdict: Suitability,
}

/// Whether a server is suitable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suitability {
    /// It is.
    Good,
    /// It is, unless something else fails.
    Risky,
    /// It is not.
    Bad,
}

impl<T> Queue<T> {
    /// Logs in again, and checks version, eviction, persistence and sharding of the server. Takes 9 s at most: a server
    /// that is unreachable or rejects the login is a finding.
    pub async fn inspect(&self) -> Vec<Inspection> {
        let info = async {
            self.connection().check_login().await?;
            self.connection().ready().await?;
            Ok::<_, Error>(self.client.at_server("INFO", &[]).await)
        };
        let [login, version, ..] = INSPECTIONS;
        match tokio::time::timeout(TIMEOUT, info).await {
            Ok(Ok(info)) => {
                let mut findings = vec![row(login, "let in".to_owned(), Suitability::Good)];
                match info {
                    Ok(info) => findings.extend(inspect_info(&info, self.client.keys().has_hash_tag())),
                    // A user without the right to `INFO` can work, but on an unknown server.
                    Err(error) => findings.push(row(version, format!("unknown: {error}"), Suitability::Risky)),
                }
                findings
            }
            Ok(Err(error)) => vec![row(login, error.to_string(), Suitability::Bad)],
            Err(_) => vec![row(login, format!("no answer within {} s", TIMEOUT.as_secs()), Suitability::Bad)],
        }
    }

    /// Reads the server's clock, in ms since 1970.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn server_time(&self) -> Result<i64, Error> {
        Ok(self.connection().time(self.client.route()).await?)
    }
}

fn row((name, fix): (&'static str, &'static str), found: String, verdict: Suitability) -> Inspection {
    Inspection { name, fix, found, verdict }
}

fn inspect_info(info: &str, has_hash_tag: bool) -> Vec<Inspection> {
    let value = |name: &str| info_field(info, name).unwrap_or("?");
    let [_, version_row, eviction_row, persistence_row, cluster_row] = INSPECTIONS;
    let version = value("redis_version");
    let policy = value("maxmemory_policy");
    let persistence = match (value("aof_enabled"), value("rdb_last_bgsave_status")) {
        (_, "err") => row(persistence_row, "the last snapshot failed".to_owned(), Suitability::Bad),
        ("1", _) => row(persistence_row, "append-only file".to_owned(), Suitability::Good),
        _ => row(persistence_row, "no append-only file".to_owned(), Suitability::Risky),
    };
    let good = |is_good| if is_good { Suitability::Good } else { Suitability::Bad };
    let mut findings = vec![
        row(version_row, version.to_owned(), good(version != "?" && !is_too_old(version))),
        row(eviction_row, policy.to_owned(), good(policy == "noeviction")),
        persistence,
    ];
    if value("cluster_enabled") == "1" {
        let found = if has_hash_tag { "the queue is on one server" } else { "the queue's keys would be spread" };
        findings.push(row(cluster_row, found.to_owned(), good(has_hash_tag)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_may_lose_jobs_are_found() {
        let verdicts = |info: &str| inspect_info(info, false).into_iter().map(|one| one.verdict).collect::<Vec<_>>();
        let good = "redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrdb_last_bgsave_status:ok";
        assert_eq!(verdicts(good), [Suitability::Good; 3]);
        let bad = "redis_version:5.0.1\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nrdb_last_bgsave_status:err";
        assert_eq!(verdicts(bad), [Suitability::Bad; 3]);
        assert_eq!(verdicts(&good.replace("enabled:1", "enabled:0"))[2], Suitability::Risky);
    }

    #[test]
    fn cluster_needs_a_hash_tag() {
        let verdict = |tag| inspect_info("cluster_enabled:1", tag).pop().map(|one| (one.name, one.verdict));
        assert_eq!(verdict(true), Some(("Redis Cluster", Suitability::Good)));
        assert_eq!(verdict(false), Some(("Redis Cluster", Suitability::Bad)));
    }
}
