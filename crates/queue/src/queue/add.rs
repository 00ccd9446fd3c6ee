//! Adds jobs.

use examhall_redis::{Value, convert};
use serde::Serialize;

use super::Queue;
use crate::{
    Deduplication, Error, JobOptions,
    client::{Client, text},
    clock::millis,
    options::check_job,
    script,
};

/// Largest number of jobs that one script adds.
pub(super) const MOST_JOBS: usize = 500;
/// Largest number of bytes that one script adds, unless a single job has more.
pub(super) const MOST_BYTES: usize = 1024 * 1024;

/// A job to add.
/// ```
/// # use examhall_queue::{JobOptions, NewJob};
/// let job = NewJob::new("greet", "Ada").options(JobOptions::default().priority(1));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewJob<T> {
    /// Kind of job.
    pub name: String,
    /// Data for the worker.
    pub data: T,
    /// How it is run and kept.
    pub options: JobOptions,
}

impl<T> NewJob<T> {
    /// A job of the kind `name` with default options.
    pub fn new(name: impl Into<String>, data: T) -> Self {
        Self { name: name.into(), data, options: JobOptions::default() }
    }

    /// Sets how it is run and kept.
    #[must_use]
    pub fn options(mut self, options: JobOptions) -> Self {
        self.options = options;
        self
    }
}

/// A validated job, as `add.lua` takes it.
pub(crate) struct Checked {
    pub(crate) args: [Value; 6],
    pub(crate) bytes: usize,
    /// What its deduplication does besides dropping it: such a job has a script of its own.
    modes: String,
}

impl Checked {
    /// Returns whether it cannot share a script.
    pub(super) fn is_alone(&self) -> bool {
        !self.modes.is_empty()
    }
}

impl<T: Serialize> Queue<T> {
    /// Adds one job and returns its id. Adding an existing id changes nothing. If another job has the same deduplication
    /// id, returns that job's id.
    ///
    /// Concurrent calls share scripts, so that thousands of them cost little more than a few.
    ///
    /// # Errors
    /// Returns an error if the job is invalid, or [`Error::Redis`]: then the job may have been added or not, and can be
    /// added again if it has an id.
    pub async fn add(&self, job: NewJob<T>) -> Result<String, Error> {
        self.batches.add(check(&job, self.client.now().await)?).await
    }

    /// Adds jobs and returns their ids in the same order. Each script adds up to 500 jobs or 1 MB, all of them or none.
    /// ```no_run
    /// # use examhall_queue::{JobOptions, NewJob, Queue};
    /// # async fn run(queue: Queue<u32>) -> Result<(), examhall_queue::Error> {
    /// let jobs: Vec<_> = (1..=1000)
    ///     .map(|n| NewJob::new("count", n).options(JobOptions::default().priority(n % 3)))
    ///     .collect();
    /// let ids = queue.add_all(&jobs).await?; // two scripts
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`add`](Self::add), for an invalid job before anything is written, and
    /// [`Error::PartlyAdded`] if a script fails after another has added jobs.
    pub async fn add_all(&self, jobs: &[NewJob<T>]) -> Result<Vec<String>, Error> {
        let now = self.client.now().await;
        let mut jobs = jobs.iter().map(|job| check(job, now)).collect::<Result<Vec<_>, _>>()?.into_iter().peekable();
        let mut added = Vec::with_capacity(jobs.len());
        while jobs.peek().is_some() {
            let chunk = next_chunk(&mut jobs);
            match add(&self.client, &chunk).await {
                Ok(ids) => added.extend(ids),
                Err(NotAdded { error, .. }) if added.is_empty() => return Err(error),
                Err(NotAdded { error, .. }) => return Err(Error::PartlyAdded { added, source: Box::new(error) }),
            }
        }
        Ok(added)
    }
}

/// Takes as many jobs as one script may add, and at least one.
pub(super) fn next_chunk(jobs: &mut std::iter::Peekable<impl Iterator<Item = Checked>>) -> Vec<Checked> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while let Some(job) = jobs.next_if(|job| fits(&chunk, bytes, job)) {
        bytes += job.bytes;
        chunk.push(job);
    }
    chunk
}

/// Returns whether a script that adds `jobs` with this number of bytes may add another one.
pub(super) fn fits<J: AsRef<Checked>>(jobs: &[J], bytes: usize, job: &Checked) -> bool {
    let Some(first) = jobs.first() else { return true };
    jobs.len() < MOST_JOBS && bytes + job.bytes <= MOST_BYTES && !job.is_alone() && !first.as_ref().is_alone()
}

/// Jobs were not added.
pub(super) struct NotAdded {
    pub(super) error: Error,
    /// Which of them alone prevents the others from being added.
    pub(super) culprit: Option<usize>,
}

/// Adds jobs, all or none of them.
pub(super) async fn add(client: &Client, jobs: &[Checked]) -> Result<Vec<String>, NotAdded> {
    let modes = jobs.iter().find(|job| job.is_alone()).map(|job| job.modes.clone());
    let script = if modes.is_some() { &script::ADD_DEDUPLICATED } else { &script::ADD };
    let args = |words: &mut Vec<Value>| {
        words.reserve(6 * jobs.len() + 1);
        for job in jobs {
            words.extend_from_slice(&job.args);
        }
        words.extend(modes.as_deref().map(Value::from));
    };
    let not_added = |error| NotAdded { error, culprit: None };
    let answer: Vec<Value> = client.eval_with(script, args).await.map_err(not_added)?;
    let mut answer = answer.into_iter();
    let refused: i64 = answer.next().map_or(Ok(-1), convert).map_err(|error| not_added(error.into()))?;
    if refused == 0 && answer.len() == jobs.len() {
        return Ok(answer.map(|id| text(&id)).collect());
    }
    let culprit = usize::try_from(refused).ok().and_then(|number| number.checked_sub(1));
    let error = match answer.next() {
        Some(why) if refused != 0 => Error::BadKey(text(&why)),
        _ => Error::UnexpectedAnswer("not one id for each added job"),
    };
    Err(NotAdded { error, culprit })
}

impl AsRef<Self> for Checked {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Checks a job that is added `now`, in ms since 1970.
pub(crate) fn check<T: Serialize>(job: &NewJob<T>, now: i64) -> Result<Checked, Error> {
    let options = &job.options;
    check_job(options, now)?;
    let (data, opts) = (serde_json::to_string(&job.data).map_err(Error::payload)?, options.to_json());
    if let Some(limit) = options.size_limit.filter(|limit| data.len() as u64 > *limit) {
        return Err(Error::TooLong { bytes: data.len() as u64, limit });
    }
    let bytes = data.len() + opts.len();
    let args = [
        options.job_id.as_deref().unwrap_or_default().into(),
        job.name.as_str().into(),
        data.into(),
        opts.into(),
        options.timestamp.map_or_else(|| now.to_string(), |time| time.to_string()).into(),
        extras(options),
    ];
    let modes = options.deduplication.as_ref().map(Deduplication::mode_names).unwrap_or_default();
    Ok(Checked { args, bytes, modes })
}

/// Delay, priority, place and deduplication, which most jobs do not have, as `add.lua` takes them.
fn extras(options: &JobOptions) -> Value {
    let JobOptions { delay, priority, lifo, deduplication, .. } = options;
    if delay.is_zero() && *priority == 0 && !lifo && deduplication.is_none() {
        return Value::from_static_str("");
    }
    let (delay, lifo) = (millis(*delay), u8::from(*lifo));
    let ttl = deduplication.as_ref().and_then(|it| it.ttl).map_or(0, millis);
    let deduplication_id = deduplication.as_ref().map_or("", |it| it.id.as_str());
    format!("{delay} {priority} {lifo} {ttl} {deduplication_id}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_bytes(bytes: usize) -> Checked {
        Checked { args: std::array::from_fn(|_| Value::Null), bytes, modes: String::new() }
    }

    fn chunks(jobs: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut jobs = jobs.into_iter().map(of_bytes).peekable();
        std::iter::from_fn(|| Some(next_chunk(&mut jobs).len()).filter(|length| *length > 0)).collect()
    }

    #[test]
    fn chunk_ends_at_500_jobs_or_1_mb() {
        assert_eq!(chunks([1; 1001]), [500, 500, 1]);
        assert_eq!(chunks([MOST_BYTES / 2; 5]), [2, 2, 1]);
        assert_eq!(chunks([10, 3 * MOST_BYTES, 10]), [1, 1, 1], "a large job is added alone");
    }
}
