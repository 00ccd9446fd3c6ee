//! Inspects the Redis server for operators: what may lose jobs, and how to fix it.

use std::time::Duration;

use super::{
    Queue,
    server::{info_field, is_too_old},
};
use crate::Error;

/// Time limit of an inspection: 3 s for each step of a login.
const TIMEOUT: Duration = Duration::from_secs(9);

/// A check of the server.
/// ```
/// # use examhall_queue::INSPECTIONS;
/// assert!(INSPECTIONS.iter().any(|check| check.name == "Redis eviction"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCheck {
    /// Name of the check.
    pub name: &'static str,
    /// How to fix what fails.
    pub fix: &'static str,
}

const LOGIN: ServerCheck = ServerCheck {
    name: "Redis login",
    fix: "correct user, password or TLS in the Redis URL (rediss:// for TLS; percent-encode the password; SSL_CERT_FILE \
          names a private authority)",
};
const VERSION: ServerCheck =
    ServerCheck { name: "Redis version", fix: "use Redis 6.2 or newer, or Valkey, and let the user ask INFO" };
const EVICTION: ServerCheck = ServerCheck {
    name: "Redis eviction",
    fix: "set `maxmemory-policy noeviction`: any other policy throws jobs away when memory is full",
};
const PERSISTENCE: ServerCheck = ServerCheck {
    name: "Redis persistence",
    fix: "set `appendonly yes`, and keep snapshots (`save 3600 1`): without them a restart forgets the queue",
};
const WRITES: ServerCheck = ServerCheck {
    name: "Redis writes",
    fix: "OOM: raise `maxmemory`, or remove jobs that have ended; READONLY: let the Redis URL lead to the master \
          (`redis-sentinel://` follows it); MISCONF: free its disk; NOREPLICAS: bring its replicas back",
};
const CLUSTER: ServerCheck = ServerCheck {
    name: "Redis Cluster",
    fix: "put braces into the queue's prefix, as in `{bull}`: a cluster then keeps all keys of a queue on one server",
};

/// The checks of an inspection.
/// ```
/// for check in examhall_queue::INSPECTIONS {
///     println!("{}: {}", check.name, check.fix);
/// }
/// ```
pub const INSPECTIONS: &[ServerCheck] = &[LOGIN, VERSION, EVICTION, PERSISTENCE, WRITES, CLUSTER];

/// Result of one of [`INSPECTIONS`].
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// for one in queue.inspect().await {
///     println!("{}: {} ({:?})", one.check.name, one.found, one.verdict);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The check.
    pub check: ServerCheck,
    /// What was found.
    pub found: String,
    /// How suitable that is.
    pub verdict: Suitability,
}

/// Whether a server is suitable.
/// ```no_run
/// # use examhall_queue::{Error, Queue, Suitability};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let is_bad = queue.inspect().await.iter().any(|one| one.verdict == Suitability::Bad);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suitability {
    /// It is.
    Good,
    /// It is, unless something else fails.
    Risky,
    /// It is not.
    Bad,
}

impl<T> Queue<T> {
    /// Logs in again, and checks whether the server accepts writes, its version, eviction, persistence and sharding. Takes 9 s at most: a server
    /// that is unreachable or rejects the login is a finding.
    pub async fn inspect(&self) -> Vec<Inspection> {
        let info = async {
            self.connection().check_login().await?;
            self.connection().ready().await?;
            Ok::<_, Error>((self.client.at_server::<String>("INFO", &[]).await, self.write_refusal().await))
        };
        match tokio::time::timeout(TIMEOUT, info).await {
            Ok(Ok((info, refusal))) => {
                let writes = match refusal {
                    Ok(None) => WRITES.found("accepted", Suitability::Good),
                    Ok(Some(code)) => WRITES.found(format!("refused: {code}"), Suitability::Bad),
                    Err(error) => WRITES.found(error.to_string(), Suitability::Bad),
                };
                let mut findings = vec![LOGIN.found("let in", Suitability::Good), writes];
                match info {
                    Ok(info) => findings.extend(inspect_info(&info, self.client.keys().has_hash_tag())),
                    // A user without the right to `INFO` can work, but on an unknown server.
                    Err(error) => findings.push(VERSION.found(format!("unknown: {error}"), Suitability::Risky)),
                }
                findings
            }
            Ok(Err(error)) => vec![LOGIN.found(error.to_string(), Suitability::Bad)],
            Err(_) => vec![LOGIN.found(format!("no answer within {} s", TIMEOUT.as_secs()), Suitability::Bad)],
        }
    }

    /// Probes whether Redis accepts writes, and returns the code of its refusal: `OOM` (it is full), `READONLY` (it is a
    /// replica), `MISCONF` (it cannot write to its disk), `NOREPLICAS` or another; `None` if it accepts them. A full Redis
    /// answers `PING` and reads. The probe changes nothing.
    /// ```no_run
    /// # async fn run(queue: examhall_queue::Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// if let Some(code) = queue.write_refusal().await? {
    ///     println!("no job can be added or taken: {code}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn write_refusal(&self) -> Result<Option<String>, Error> {
        let key = self.client.keys().of("completed");
        // With XX only members that are there change, and no job has an empty id.
        match self.client.command::<i64>("ZADD", &key, &["XX", "0", ""]).await {
            Ok(_) => Ok(None),
            Err(Error::Redis(error)) if error.code().is_some() => Ok(error.code().map(ToOwned::to_owned)),
            Err(error) => Err(error),
        }
    }

    /// Returns the server's time in ms since 1970, without asking: as it was read last, about once a minute, and the time
    /// since. Before that it is the system's.
    pub fn now_ms(&self) -> i64 {
        self.client.now_ms()
    }

    /// Reads the server's clock, in ms since 1970.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn server_time(&self) -> Result<i64, Error> {
        Ok(self.connection().time(self.client.route()).await?)
    }
}

impl ServerCheck {
    fn found(self, found: impl Into<String>, verdict: Suitability) -> Inspection {
        Inspection { check: self, found: found.into(), verdict }
    }
}

fn inspect_info(info: &str, has_hash_tag: bool) -> Vec<Inspection> {
    let value = |name: &str| info_field(info, name).unwrap_or("?");
    let version = value("redis_version");
    let policy = value("maxmemory_policy");
    let persistence = match (value("aof_enabled"), value("rdb_last_bgsave_status")) {
        (_, "err") => PERSISTENCE.found("the last snapshot failed", Suitability::Bad),
        ("1", _) => PERSISTENCE.found("append-only file", Suitability::Good),
        _ => PERSISTENCE.found("no append-only file", Suitability::Risky),
    };
    let good = |is_good| if is_good { Suitability::Good } else { Suitability::Bad };
    let mut findings = vec![
        VERSION.found(version, good(version != "?" && !is_too_old(version))),
        EVICTION.found(policy, good(policy == "noeviction")),
        persistence,
    ];
    if value("cluster_enabled") == "1" {
        let found = if has_hash_tag { "the queue lies on one server" } else { "the queue's keys would be spread" };
        findings.push(CLUSTER.found(found, good(has_hash_tag)));
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
        let verdict = |tag| inspect_info("cluster_enabled:1", tag).pop().map(|one| (one.check.name, one.verdict));
        assert_eq!(verdict(true), Some(("Redis Cluster", Suitability::Good)));
        assert_eq!(verdict(false), Some(("Redis Cluster", Suitability::Bad)));
    }
}
