//! Job schedulers: jobs that come again, at an interval or at the times of a cron pattern.
//!
//! A scheduler always has one job to come. The worker that takes that job, ours or Node's, adds the next one, so a
//! schedule needs no process of its own.

pub(crate) mod advance;
mod cron;
mod read;
mod repeat;

use examhall_redis::Value;
use serde::Serialize;
use serde_json::{Map, Value as Json};

pub use self::{
    read::JobScheduler,
    repeat::{Repeat, RepeatRule},
};
use crate::{Error, JobOptions, NewJob, Queue, code::Code, options::check_deduplication_id, script};

impl<T> Queue<T> {
    /// Creates the scheduler `id`, or replaces it with its job to come, and returns that job's id. `template` is what each
    /// job has: name, data and options.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{JobOptions, ListOrder, NewJob, Queue, Repeat};
    /// # async fn run(queue: Queue<String>) -> Result<(), examhall_queue::Error> {
    /// let template = NewJob::new("report", "daily".to_owned()).options(JobOptions::default().attempts(3));
    /// let at_six = Repeat::cron("0 6 * * *").time_zone("Europe/Berlin");
    /// queue.upsert_job_scheduler("daily-report", &at_six, &template).await?;
    ///
    /// for scheduler in queue.job_schedulers(0, 100, ListOrder::OldestFirst).await? {
    ///     println!("{}: next at {}, {} jobs so far", scheduler.id, scheduler.next, scheduler.iterations);
    /// }
    /// queue.remove_job_scheduler("daily-report").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::BadSchedule`] if it cannot be used or would add no job, the errors of [`add`](Self::add) for the
    /// template, [`Error::ScheduleTaken`] if jobs with the next ids are stored already, or [`Error::Redis`].
    pub async fn upsert_job_scheduler(&self, id: &str, repeat: &Repeat, template: &NewJob<T>) -> Result<String, Error>
    where
        T: Serialize,
    {
        let now = self.client().now().await;
        check(id, &template.options)?;
        repeat.check(now)?;
        let args = to_args(id, repeat, template, now)?;
        let (code, next): (i64, String) = self.eval(&script::UPSERT_SCHEDULER, args).await?;
        match Code::try_from(code)? {
            Code::Done => Ok(next),
            Code::Taken => Err(Error::ScheduleTaken(id.to_owned())),
            _ => Err(Error::UnexpectedAnswer("a code that no new scheduler has")),
        }
    }

    /// Removes a scheduler, with its job to come if that is still delayed. Returns whether there was one.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn remove_job_scheduler(&self, id: &str) -> Result<bool, Error> {
        self.eval(&script::REMOVE_SCHEDULER, vec![id.into()]).await
    }
}

fn check(id: &str, options: &JobOptions) -> Result<(), Error> {
    let rejected = |reason: &str| Err(Error::BadSchedule(reason.to_owned()));
    if id.is_empty() {
        return rejected("its id is empty");
    }
    // BullMQ 5 takes such an id for a key of older versions.
    if id.matches(':').count() > 3 {
        return rejected("its id has more than three `:`");
    }
    if options.job_id.is_some() || !options.delay.is_zero() {
        return rejected("its jobs have ids and delays of their own");
    }
    if options.priority > JobOptions::MAX_PRIORITY {
        return Err(Error::BadPriority(options.priority));
    }
    options.deduplication.as_ref().map_or(Ok(()), |deduplication| check_deduplication_id(&deduplication.id))
}

fn to_args<T: Serialize>(id: &str, repeat: &Repeat, template: &NewJob<T>, now: i64) -> Result<Vec<Value>, Error> {
    let data = serde_json::to_string(&template.data).map_err(Error::payload)?;
    let mut opts: Map<String, Json> = serde_json::from_str(&template.options.to_json()).map_err(Error::payload)?;
    opts.retain(|name, value| name != "attempts" || value != 0);
    let mut fields = repeat.to_fields();
    fields.push(("name", template.name.clone()));
    if !opts.is_empty() {
        fields.push(("opts", Json::Object(opts.clone()).to_string()));
    }
    if data != "{}" {
        fields.push(("data", data.clone()));
    }
    let first = repeat.first(now)?;
    let (every, offset) = match &repeat.rule {
        RepeatRule::Every { interval, offset } => {
            (interval.as_millis().to_string(), offset.unwrap_or_default().as_millis().to_string())
        }
        RepeatRule::Cron { .. } => (String::new(), "0".to_owned()),
    };
    let id_prefix = format!("repeat:{id}:");
    let next = Next { scheduler: id, id_prefix, at: first, repeat: repeat.to_json(), opts, now };
    let JobOptions { priority, lifo, deduplication, .. } = &template.options;
    let mut args: Vec<Value> = vec![
        id.into(),
        now.to_string().into(),
        first.map(|at| at.to_string()).unwrap_or_default().into(),
        every.into(),
        offset.into(),
        repeat.start.unwrap_or_default().to_string().into(),
        next.json_id().into(),
        next.into_opts().into(),
        template.name.as_str().into(),
        data.into(),
        priority.to_string().into(),
        u8::from(*lifo).to_string().into(),
        deduplication.as_ref().map(|it| it.id.clone()).unwrap_or_default().into(),
    ];
    args.extend(fields.into_iter().flat_map(|(name, value)| [name.into(), value.into()]));
    Ok(args)
}

/// The next job of a scheduler, as far as it is known before the script runs.
struct Next<'a> {
    scheduler: &'a str,
    /// What comes before the time in its id.
    id_prefix: String,
    /// Its time, in ms since 1970; absent if the script decides.
    at: Option<i64>,
    repeat: Map<String, Json>,
    /// Options that all jobs of the scheduler have.
    opts: Map<String, Json>,
    now: i64,
}

impl Next<'_> {
    /// The job's id as JSON, up to the time.
    fn json_id(&self) -> String {
        let mut id = Json::from(self.id_prefix.as_str()).to_string();
        id.pop();
        id
    }

    /// The job's options as JSON, up to `delay` and `jobId`, which the script writes.
    fn into_opts(self) -> String {
        let mut opts = self.opts;
        for name in ["delay", "jobId", "prevMillis"] {
            opts.remove(name);
        }
        opts.extend(self.at.map(|at| ("prevMillis".to_owned(), at.into())));
        opts.insert("timestamp".into(), self.now.into());
        opts.insert("repeatJobKey".into(), self.scheduler.into());
        opts.insert("repeat".into(), self.repeat.into());
        let mut opts = Json::Object(opts).to_string();
        opts.pop();
        opts
    }
}
