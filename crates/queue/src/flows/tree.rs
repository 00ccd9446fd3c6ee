//! What a flow consists of. No I/O.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{Error, JobOptions, keys::Keys};

/// A job of a flow, with its children.
/// ```
/// # use examhall_queue::{ChildFailure, FlowJob, JobOptions};
/// # fn build() -> Result<FlowJob, examhall_queue::Error> {
/// let page = |n: u32| FlowJob::new("pages", "render", &n).map(|job| job.on_failure(ChildFailure::FailParent));
/// let book = FlowJob::new("books", "bind", &"Emma")?
///     .options(JobOptions::default().priority(1))
///     .children([page(1)?, page(2)?]);
/// # Ok(book)
/// # }
/// # build().unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlowJob {
    /// Prefix of its queue; the producer's if absent.
    pub prefix: Option<String>,
    /// Name of its queue.
    pub queue: String,
    /// Kind of job.
    pub name: String,
    /// Data for the worker, any JSON.
    pub data: Value,
    /// How it is run and kept. A job without an id gets a UUID.
    pub options: JobOptions,
    /// What its failure means for its parent.
    pub on_failure: ChildFailure,
    /// A parent that exists already; only for the top of a flow.
    pub parent: Option<JobKey>,
    /// Jobs that it waits for.
    pub children: Vec<Self>,
}

/// What the failure of a child means for its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildFailure {
    /// The parent waits until the child is retried and completes, or is removed.
    #[default]
    KeepWaiting,
    /// The parent fails, too (BullMQ's `failParentOnFailure`).
    FailParent,
    /// The parent runs at once, whatever its other children do (`continueParentOnFailure`).
    ContinueParent,
    /// The parent waits for its other children only, and can read why this one failed (`ignoreDependencyOnFailure`).
    Ignore,
    /// The parent waits for its other children only (`removeDependencyOnFailure`).
    RemoveDependency,
}

/// Which job of which queue: BullMQ's key of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobKey {
    /// `<prefix>:<queue>`.
    queue: String,
    id: String,
}

/// Ids of an added flow, in the form of the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddedFlow {
    /// Id of the job; that of another job if it was deduplicated.
    pub id: String,
    /// Ids of its children.
    pub children: Vec<Self>,
}

impl FlowJob {
    /// A job of the kind `name` for a queue, with default options.
    ///
    /// # Errors
    /// Returns [`Error::Payload`] if the data cannot be written as JSON.
    pub fn new<D: Serialize + ?Sized>(
        queue: impl Into<String>,
        name: impl Into<String>,
        data: &D,
    ) -> Result<Self, Error> {
        Ok(Self {
            prefix: None,
            queue: queue.into(),
            name: name.into(),
            data: serde_json::to_value(data).map_err(Error::payload)?,
            options: JobOptions::default(),
            on_failure: ChildFailure::default(),
            parent: None,
            children: Vec::new(),
        })
    }

    /// Sets the prefix of its queue.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Sets how it is run and kept.
    #[must_use]
    pub fn options(mut self, options: JobOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets what its failure means for its parent.
    #[must_use]
    pub fn on_failure(mut self, policy: ChildFailure) -> Self {
        self.on_failure = policy;
        self
    }

    /// Makes it a child of a job that exists, such as the one that a handler runs.
    #[must_use]
    pub fn parent(mut self, parent: JobKey) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Adds jobs that it waits for.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }
}

impl ChildFailure {
    /// BullMQ's short name.
    const fn flag(self) -> Option<&'static str> {
        match self {
            Self::KeepWaiting => None,
            Self::FailParent => Some("fpof"),
            Self::ContinueParent => Some("cpof"),
            Self::Ignore => Some("idof"),
            Self::RemoveDependency => Some("rdof"),
        }
    }

    /// Adds the flag to a JSON object.
    pub(super) fn write(self, json: &mut Map<String, Value>) {
        json.extend(self.flag().map(|flag| (flag.to_owned(), true.into())));
    }
}

impl JobKey {
    /// The job `id` of a queue.
    ///
    /// # Errors
    /// Returns [`Error::BadQueueName`] if BullMQ could not use the names.
    pub fn new(prefix: &str, queue: &str, id: impl Into<String>) -> Result<Self, Error> {
        Keys::new(prefix, queue).map(|keys| Self::of(&keys, id))
    }

    pub(crate) fn of(keys: &Keys, id: impl Into<String>) -> Self {
        let queue = keys.of("");
        Self { queue: queue.trim_end_matches(':').to_owned(), id: id.into() }
    }

    /// A job of the queue whose keys have this prefix.
    pub(super) fn at(prefix: &str, id: &str) -> Self {
        Self { queue: prefix.trim_end_matches(':').to_owned(), id: id.to_owned() }
    }

    /// Reads the JSON that a child has in its hash.
    pub(crate) fn from_json(parent: &Value) -> Option<Self> {
        let text = |name: &str| parent.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        Some(Self { queue: text("queueKey")?, id: text("id")? })
    }

    /// Returns the job's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the queue's prefix and name, as in `bull:email`.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// What BullMQ stores as `parent` in a child's options.
    pub(super) fn to_option(&self) -> Value {
        json!({"id": self.id, "queue": self.queue})
    }

    /// What BullMQ stores as `parent` in a child's hash.
    pub(super) fn to_field(&self, policy: ChildFailure) -> Value {
        let mut parent = Map::new();
        parent.insert("id".into(), self.id.as_str().into());
        parent.insert("queueKey".into(), self.queue.as_str().into());
        policy.write(&mut parent);
        parent.into()
    }
}

impl std::fmt::Display for JobKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.queue, self.id)
    }
}
