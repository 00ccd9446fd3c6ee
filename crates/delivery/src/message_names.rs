//! Finds the job of a mail by a name that the outside world knows: its `Message-ID`, or an id that a provider gave it.

use std::time::Duration;

use examhall_core::EmailJob;
use examhall_redis::Connection;

use crate::Error;

/// Names of mails that cannot be told from the name, under `<prefix><name>`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MessageNames {
    connection: Connection,
    prefix: String,
    retention: Duration,
}

/// The job that the mailer's `Message-ID`s name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobName<'a> {
    /// The job's id.
    pub id: &'a str,
    /// When the job was added, in ms since 1970, unless the id alone names the mail.
    pub timestamp: Option<i64>,
}

impl<'a> JobName<'a> {
    /// Returns what a `Message-ID` names; `None` if it is not one that the mailer makes of a job's id.
    pub fn of(message_id: &'a str) -> Option<Self> {
        let (local, _) = bare(message_id).rsplit_once('@')?;
        Self::of_local_part(local)
    }

    /// Returns what the part before the `@` names.
    pub fn of_local_part(local: &'a str) -> Option<Self> {
        if EmailJob::is_of_outbox(local) {
            return Some(Self { id: local, timestamp: None });
        }
        let (id, timestamp) = local.rsplit_once('.')?;
        let timestamp = timestamp.parse().ok()?;
        (!id.is_empty() && !id.starts_with("h-")).then_some(Self { id, timestamp: Some(timestamp) })
    }
}

impl MessageNames {
    /// Names that are kept for `retention`.
    pub fn new(connection: Connection, prefix: impl Into<String>, retention: Duration) -> Self {
        Self { connection, prefix: prefix.into(), retention }
    }

    /// Records the job of a name.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it may have been recorded or not.
    pub async fn put(&self, name: &str, job_id: &str) -> Result<(), Error> {
        let seconds = self.retention.as_secs().max(1).try_into().unwrap_or(i64::MAX);
        Ok(self.connection.set(&self.key(name), job_id.to_owned(), seconds).await?)
    }

    /// Returns the job of a name.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn get(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.connection.get(&self.key(name)).await?)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{}", self.prefix, bare(name))
    }
}

/// A `Message-ID` without `<>`.
pub(crate) fn bare(message_id: &str) -> &str {
    message_id.trim().trim_start_matches('<').trim_end_matches('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_names_its_job() {
        let uuid = "m-018f4e3a-0000-7000-8000-000000000001";
        let of = |text: &str| JobName::of(text).map(|name| (name.id.to_owned(), name.timestamp));
        assert_eq!(of(&format!("<{uuid}@x.example>")), Some((uuid.to_owned(), None)));
        assert_eq!(of(&format!(" {uuid}@x.example ")), Some((uuid.to_owned(), None)));
        assert_eq!(of("<7.1795424400000@x.example>"), Some(("7".to_owned(), Some(1_795_424_400_000))));
        assert_eq!(of("<a.b-2.17@x.example>"), Some(("a.b-2".to_owned(), Some(17))));
        for foreign in ["<h-0123.17@x.example>", "<abc@x.example>", "no id", "", "<>", "<.7@x.example>", "@"] {
            assert_eq!(of(foreign), None, "{foreign}");
        }
    }
}
