//! Heartbeats of workers, and the reaping of jobs whose worker is dead.
//!
//! A worker is dead if none of its connections is open at the server and it has been silent for [`DEAD_AFTER`]: no
//! heartbeat, no new lock and no renewed one. The server measures that by its own clock. A live worker that cannot
//! reach the server counts its leases as lost before that, after [`FENCE`]. A frozen one keeps its connection, since the
//! kernel does.

use std::{collections::HashSet, time::Duration};

use examhall_redis::Value;

use super::identity::{TOKEN_PREFIX, client_id_of};
use crate::{
    Error,
    client::{Client, texts},
    clock::millis,
    script,
};

/// Interval of heartbeats, and of the search for dead workers.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// Silence after which a worker without a connection is dead.
const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Silence after which a worker counts its leases as lost. With the second for which
/// [`Claim::lost`](crate::Claim::lost) waits for a late heartbeat, this is less than [`DEAD_AFTER`].
pub(super) const FENCE: Duration = Duration::from_millis(3500);
/// Time that workers may need to connect again after a restart of the server and to send a heartbeat: the longest backoff
/// of a second, three seconds each for the connection and the login, and some to spare. Until then no worker is judged that
/// has been silent since the restart.
const RECONNECTS_WITHIN: Duration = Duration::from_secs(10);
/// How much longer a heartbeat is stored than a lock.
const MARGIN: Duration = Duration::from_secs(10);

/// Sends a heartbeat: the id of the worker's present connection. Returns whether the server has stored it; a server that
/// is out of memory only notes the time.
pub(super) async fn send(client: &Client, uuid: &str, lock: Duration) -> Result<bool, Error> {
    let id = client.connection().client_id(client.route()).await?;
    let (key, life) = (client.keys().heartbeats() + uuid, millis(lock + MARGIN));
    let (value, life) = (format!("{id} {life} {}", millis(lock)), life.to_string());
    match client.command::<()>("SET", &key, &[&value, "PX", &life]).await {
        Ok(()) => Ok(true),
        Err(Error::Redis(error)) if error.code() == Some("OOM") => {
            client.command::<i64>("PEXPIRE", &key, &[&life]).await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A job of a worker that has been silent.
struct Suspect<'a> {
    id: &'a str,
    token: &'a str,
    /// Its connection at the last heartbeat.
    connection: &'a str,
    silence: Duration,
}

impl<'a> Suspect<'a> {
    fn new(words: &'a [String]) -> Option<Self> {
        let [id, token, connection, silence] = words else { return None };
        Some(Self { id, token, connection, silence: Duration::from_millis(silence.parse().ok()?) })
    }

    /// The connection at the last heartbeat, and the one that took the job: one of them is the worker's latest.
    fn connections(&self) -> impl Iterator<Item = u64> {
        self.connection.parse().ok().into_iter().chain(client_id_of(self.token))
    }

    /// Returns whether the worker has had the time to come back, if the server and the link to it have been up for so long.
    fn had_time(&self, up_for: Duration) -> bool {
        self.silence < up_for || up_for >= RECONNECTS_WITHIN
    }
}

/// Takes the jobs of dead workers other than `uuid` from them, and returns the ids of those that are ready again.
/// `up_for`: for how long the link to the server has been up, if it was interrupted.
pub(super) async fn reap(
    client: &Client,
    uuid: &str,
    max_stalls: u32,
    up_for: Option<Duration>,
) -> Result<Vec<String>, Error> {
    let dead_after = DEAD_AFTER.as_millis().to_string();
    let heartbeats = client.keys().heartbeats();
    let args = vec![TOKEN_PREFIX.into(), heartbeats.as_str().into(), uuid.into(), dead_after.as_str().into()];
    let suspects = texts(client.eval(&script::SUSPECTS, args).await?);
    if suspects.is_empty() {
        return Ok(suspects);
    }
    let up_for = uptime(client).await?.min(up_for.unwrap_or(Duration::MAX));
    let suspects = suspects.chunks(4).filter_map(Suspect::new).filter(|suspect| suspect.had_time(up_for));
    let suspects: Vec<_> = suspects.collect();
    let connected = connected(client, suspects.iter().flat_map(Suspect::connections).collect()).await?;
    let mut args: Vec<Value> = vec![max_stalls.into(), heartbeats.into(), dead_after.into()];
    for suspect in suspects.iter().filter(|suspect| !suspect.connections().any(|id| connected.contains(&id))) {
        args.extend([suspect.id, suspect.token, suspect.connection].map(Value::from));
    }
    if args.len() == 3 { Ok(Vec::new()) } else { Ok(texts(client.eval(&script::REAP, args).await?)) }
}

/// Returns which of these connections the server has.
async fn connected(client: &Client, ids: HashSet<u64>) -> Result<HashSet<u64>, Error> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    let words: Vec<&str> = ["LIST", "ID"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    let list: String = client.at_server("CLIENT", &words).await?;
    Ok(list.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next()?.parse().ok()).collect())
}

/// Returns how long the server has run.
async fn uptime(client: &Client) -> Result<Duration, Error> {
    let info: String = client.at_server("INFO", &["server"]).await?;
    let seconds = info.lines().find_map(|line| line.strip_prefix("uptime_in_seconds:")?.trim().parse().ok());
    Ok(Duration::from_secs(seconds.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_have_time_to_come_back() {
        let seconds = Duration::from_secs;
        for (name, silence, up_for, expected) in [
            ("nothing was interrupted", 6, Duration::MAX, true),
            ("heard of since the interruption", 6, seconds(7), true),
            ("silent since before it", 8, seconds(7), false),
            ("silent since before it, for long", 11, seconds(10), true),
        ] {
            let suspect = Suspect { id: "1", token: "eh:7:u:1", connection: "8", silence: seconds(silence) };
            assert_eq!(suspect.had_time(up_for), expected, "{name}");
            assert_eq!(suspect.connections().collect::<Vec<_>>(), [8, 7]);
        }
    }
}
