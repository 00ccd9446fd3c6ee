//! Ids of jobs. They share one namespace with the names of the queue's other keys.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// Names of a queue's keys. A job with such an id would be stored in one of them.
const KEYS: &[&str] = &[
    "wait",
    "paused",
    "active",
    "prioritized",
    "pc",
    "delayed",
    "completed",
    "failed",
    "waiting-children",
    "marker",
    "id",
    "meta",
    "events",
    "stalled",
    "stalled-check",
    "limiter",
    "repeat",
];

/// First parts of names of keys that are no job's, if more follows after a `:`.
const FAMILIES: &[&str] = &["de", "dn", "metrics"];

/// Id of a job: not the name of another key of its queue, such as `meta` or `7:logs`. Every call that takes an id parses it.
/// ```
/// # use examhall_queue::JobId;
/// assert!("guest-7".parse::<JobId>().is_ok());
/// assert!("repeat:report:1700000000000".parse::<JobId>().is_ok(), "a scheduler's");
/// assert!("meta".parse::<JobId>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

impl JobId {
    /// Checks the id of a job that exists, of any client.
    ///
    /// # Errors
    /// Returns [`Error::BadJobId`] if it is another key's name.
    pub fn new(id: impl Into<String>) -> Result<Self, Error> {
        let id = id.into();
        match reason(&id) {
            None => Ok(Self(id)),
            Some(reason) => Err(Error::BadJobId { id, reason }),
        }
    }

    /// Checks the id of a job to add: BullMQ would also misread numbers, and `:`.
    ///
    /// # Errors
    /// Returns [`Error::BadJobId`] if it cannot be used.
    pub fn new_custom(id: impl Into<String>) -> Result<Self, Error> {
        let id = Self::new(id)?;
        let reason = if id.0.bytes().all(|byte| byte.is_ascii_digit()) {
            "numbers are for jobs that are added without an id"
        } else if id.0.contains(':') {
            "`:` separates the parts of a key"
        } else {
            return Ok(id);
        };
        Err(Error::BadJobId { id: id.0, reason })
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns why an id cannot be a job's, if it cannot. BullMQ allows two `:` or none: `repeat:<scheduler>:<ms>`.
fn reason(id: &str) -> Option<&'static str> {
    let mut parts = id.split(':');
    let (first, last, colons) = (parts.next()?, parts.next_back(), id.matches(':').count());
    let is_run = || last.is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    if id.is_empty() {
        Some("it is empty")
    } else if KEYS.contains(&id) {
        Some("the queue has a key of that name")
    } else if colons > 0 && FAMILIES.contains(&first) || first == "repeat" && colons > 0 && !(colons == 2 && is_run()) {
        Some("the queue has keys of that kind")
    } else if !matches!(colons, 0 | 2) {
        Some("`:` separates the parts of a key")
    } else {
        None
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for JobId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self, Error> {
        Self::new(id)
    }
}

impl TryFrom<String> for JobId {
    type Error = Error;

    fn try_from(id: String) -> Result<Self, Error> {
        Self::new(id)
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_keys_are_refused() {
        for id in KEYS {
            assert!(JobId::new(*id).is_err(), "{id}");
        }
        let others = "metrics:completed metrics:completed:data de:mail de:a:b dn:a:b repeat:report repeat:a:b 7:lock 7:logs \
                      7:dependencies a:b:c:d repeat:report:1:logs a:";
        for id in others.split(' ').chain([""]) {
            assert!(JobId::new(id).is_err(), "{id}");
        }
    }

    #[test]
    fn ids_of_all_clients_are_read_and_few_are_added() {
        for id in ["7", "guest-7", "ü", "a:b:c", "repeat:report:1700000000000", "Meta", " "] {
            assert_eq!(JobId::new(id).map(String::from).ok().as_deref(), Some(id));
        }
        for id in ["7", "0", "a:b:c", "meta", ""] {
            assert!(JobId::new_custom(id).is_err(), "{id}");
        }
        assert!(JobId::new_custom("guest-7").is_ok());
    }

    #[test]
    fn serde_checks_an_id() {
        assert!(serde_json::from_str::<JobId>(r#""meta""#).is_err());
        let id: JobId = serde_json::from_str(r#""guest-7""#).expect("an id");
        assert_eq!(serde_json::to_string(&id).expect("JSON"), r#""guest-7""#);
    }
}
