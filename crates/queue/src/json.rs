//! Data of a job that is not read yet.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{Error, Failure, Job, job};

/// Data of a job as JSON text: for queues whose jobs have different data, such as those of a [`Router`](crate::Router).
/// ```
/// # use examhall_queue::Json;
/// let data = Json::new(&[1, 2, 3])?;
/// assert_eq!(data.as_str(), "[1,2,3]");
/// # Ok::<_, examhall_queue::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Writes a value as JSON.
    ///
    /// # Errors
    /// Returns [`Error::Payload`] if it cannot be written as JSON.
    pub fn new<V: Serialize + ?Sized>(value: &V) -> Result<Self, Error> {
        serde_json::value::to_raw_value(value).map(Self).map_err(Error::payload)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl Job<Json> {
    /// Reads the data as a `T`.
    ///
    /// # Errors
    /// Returns a failure that says where the data has another type; it has no data in it.
    pub fn read<T: DeserializeOwned>(self) -> Result<Job<T>, Failure> {
        match job::read(self.data.as_str().as_bytes()) {
            Ok(data) => Ok(self.with(data)),
            Err(error) => Err(Failure::new(job::unreadable(&error))),
        }
    }
}
