//! The mailers that run, by their heartbeats; and when which version was deployed.

use std::{collections::HashMap, time::Duration};

use examhall_core::{MailerStatus, ProviderStatus, Timestamp};
use examhall_redis::{Connection, Route};

use crate::{Error, script};

/// Heartbeats of mailers. Cheap to clone.
///
/// Each mailer has a hash that expires with its heartbeat, so one that was killed vanishes by itself.
#[derive(Clone, Debug)]
pub struct Fleet {
    connection: Connection,
    key: String,
}

/// A version of the mailer that began to run when no other mailer had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// The version.
    pub version: String,
    /// When its first mailer started.
    pub at: Timestamp,
}

impl Fleet {
    /// How long a heartbeat counts.
    pub const LIFETIME: Duration = Duration::from_secs(15);

    /// Heartbeats under `key`, such as `mail:{mailers}`. The keys of a mailer begin with it: in a cluster it needs a hash tag.
    pub fn new(connection: Connection, key: impl Into<String>) -> Self {
        Self { connection, key: key.into() }
    }

    /// Records the heartbeat of a mailer; `seen_at` becomes Redis's time.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn beat(&self, mailer: &MailerStatus) -> Result<(), Error> {
        let MailerStatus { id, host, version, started_at, seen_at: _, slots, busy, providers } = mailer;
        let (hash, versions) = (self.of(id), format!("{}:versions", self.key));
        let started_at = started_at.as_millis().to_string();
        let (slots, busy, providers) = (slots.to_string(), busy.to_string(), serde_json::to_string(providers)?);
        let lifetime = Self::LIFETIME.as_millis().to_string();
        let fields = [
            ("host", host),
            ("version", version),
            ("startedAt", &started_at),
            ("slots", &slots),
            ("busy", &busy),
            ("providers", &providers),
        ];
        let mut args = vec![id.as_str().into(), lifetime.into(), version.as_str().into()];
        args.extend(fields.into_iter().flat_map(|(name, value)| [name.into(), value.as_str().into()]));
        Ok(self.connection.eval(&script::BEAT, &[&self.key, &hash, &versions], args).await?)
    }

    /// Removes a mailer that stops.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it vanishes by itself then.
    pub async fn leave(&self, id: &str) -> Result<(), Error> {
        let (hash, route) = (self.of(id), Route::Key(&self.key));
        self.connection.command::<i64>("ZREM", route, vec![self.key.as_str().into(), id.into()]).await?;
        self.connection.command::<i64>("DEL", Route::Key(&hash), vec![hash.as_str().into()]).await?;
        Ok(())
    }

    /// Returns the mailers whose heartbeat is fresh, in order of their hosts.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn mailers(&self) -> Result<Vec<MailerStatus>, Error> {
        let lifetime = Self::LIFETIME.as_millis().to_string();
        let found: Vec<Vec<String>> = self.connection.eval(&script::FLEET, &[&self.key], vec![lifetime.into()]).await?;
        let mut mailers: Vec<_> = found.into_iter().filter_map(read).collect();
        mailers.sort_by(|a, b| (&a.host, &a.id).cmp(&(&b.host, &b.id)));
        Ok(mailers)
    }

    /// Returns which versions began to run since `since`, oldest first.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn deploys(&self, since: Timestamp) -> Result<Vec<Deploy>, Error> {
        let key = format!("{}:versions", self.key);
        let args = vec![key.as_str().into(), since.as_millis().to_string().into(), "+inf".into()];
        let found: Vec<String> = self.connection.command("ZRANGEBYSCORE", Route::Key(&key), args).await?;
        let read = |text: String| {
            let (at, version) = text.split_once(' ')?;
            Some(Deploy { version: version.to_owned(), at: Timestamp::from_millis(at.parse().ok()?) })
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    fn of(&self, id: &str) -> String {
        format!("{}:{id}", self.key)
    }
}

/// Reads an id, then fields and values; `None` if another program wrote them.
fn read(words: Vec<String>) -> Option<MailerStatus> {
    let mut words = words.into_iter();
    let id = words.next()?;
    let mut fields = HashMap::new();
    while let (Some(field), Some(value)) = (words.next(), words.next()) {
        fields.insert(field, value);
    }
    let time = |name| Some(Timestamp::from_millis(fields.get(name)?.parse().ok()?));
    let number = |name| fields.get(name)?.parse().ok();
    let providers: Vec<ProviderStatus> = serde_json::from_str(fields.get("providers")?).ok()?;
    Some(MailerStatus {
        id,
        host: fields.get("host")?.clone(),
        version: fields.get("version")?.clone(),
        started_at: time("startedAt")?,
        seen_at: time("seenAt")?,
        slots: number("slots")?,
        busy: number("busy")?,
        providers,
    })
}
