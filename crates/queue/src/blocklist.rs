//! Names that nothing is to be done for, with the reason and since when: shared by all processes.

use std::time::Duration;

use fred::types::ClusterHash;
use serde::{Deserialize, Serialize};

use crate::{Connection, Error, clock::now_ms, script};

/// A list of names in one hash. Cheap to clone.
/// ```no_run
/// # use examhall_queue::{Blocklist, Connection};
/// # async fn run(connection: Connection) -> Result<(), examhall_queue::Error> {
/// let list = Blocklist::new(connection, "closed");
/// list.add("ada@example.com", "there is no such mailbox").await?;
/// for blocked in list.find(&["ada@example.com".to_owned()]).await? {
///     println!("{} since {}: {}", blocked.name, blocked.since, blocked.reason);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Blocklist {
    connection: Connection,
    key: String,
}

/// Why a name is on the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The name.
    #[serde(skip_deserializing)]
    pub name: String,
    /// Why.
    pub reason: String,
    /// Since when, in ms since 1970.
    pub since: i64,
}

impl Blocklist {
    /// The list kept under `key`.
    pub fn new(connection: Connection, key: impl Into<String>) -> Self {
        Self { connection, key: key.into() }
    }

    /// Which of `names` are on the list.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn find(&self, names: &[String]) -> Result<Vec<Blocked>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.connection.hmget(&self.key, names).await?;
        Ok(names.iter().zip(found).filter_map(|(name, text)| Some(read(name, &text?))).collect())
    }

    /// Puts a name on the list; one that is there keeps its reason. Says whether it is new.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn add(&self, name: &str, reason: &str) -> Result<bool, Error> {
        let blocked = Blocked { name: name.to_owned(), reason: reason.to_owned(), since: now_ms() };
        let mut entry = serde_json::to_value(blocked)?;
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("name"); // it is the field
        }
        let args = vec![self.key.as_str().into(), name.into(), entry.to_string().into()];
        Ok(self.connection.command("HSETNX", ClusterHash::FirstKey, args).await?.convert::<i64>()? == 1)
    }

    /// Takes a name off the list, and forgets its strikes; says whether it was there.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn remove(&self, name: &str) -> Result<bool, Error> {
        let args = vec![self.key.as_str().into(), name.into()];
        let removed = self.connection.command("HDEL", ClusterHash::FirstKey, args).await?.convert::<i64>()?;
        self.connection.command("DEL", ClusterHash::FirstKey, vec![self.strikes(name).into()]).await?;
        Ok(removed == 1)
    }

    /// The whole list, oldest first.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn list(&self) -> Result<Vec<Blocked>, Error> {
        let answer = self.connection.command("HGETALL", ClusterHash::FirstKey, vec![self.key.as_str().into()]).await?;
        let entries: std::collections::HashMap<String, String> = answer.convert()?;
        let mut list: Vec<_> = entries.iter().map(|(name, text)| read(name, text)).collect();
        list.sort_by(|a, b| (a.since, &a.name).cmp(&(b.since, &b.name)));
        Ok(list)
    }

    /// Counts something that speaks against a name, once for each `cause`; gives how many there were within `window` of
    /// the first.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn strike(&self, name: &str, cause: &str, window: Duration) -> Result<u32, Error> {
        let args = vec![window.as_secs().max(1).to_string().into(), cause.into()];
        Ok(self.connection.eval(&script::STRIKE, &self.strikes(name), args).await?.convert()?)
    }

    fn strikes(&self, name: &str) -> String {
        format!("{}:strikes:{name}", self.key)
    }
}

/// An entry that cannot be understood still blocks.
fn read(name: &str, text: &str) -> Blocked {
    let unknown = Blocked { name: String::new(), reason: "unknown".to_owned(), since: 0 };
    Blocked { name: name.to_owned(), ..serde_json::from_str(text).unwrap_or(unknown) }
}
