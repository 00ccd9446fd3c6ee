//! One poll: a round trip that reports ended runs and takes jobs.

use std::time::{Duration, Instant};

use examhall_redis::{Value, convert};

use super::report::Report;
use crate::{
    Error, RateLimit,
    client::{Client, text},
    clock::millis,
    code::Code,
    job::TakenJob,
    script,
};

/// Redis's answer.
pub(super) struct Received {
    /// The worker's time when it polled, in ms since 1970: jobs that were due by then are ready.
    pub(super) polled_at: i64,
    /// The same moment, for the durations of locks.
    pub(super) sent: Instant,
    /// One for each report.
    pub(super) codes: Vec<Code>,
    pub(super) taken: Vec<TakenJob>,
    /// Ids of jobs whose hashes are gone; the ids are removed.
    pub(super) gone: Vec<String>,
    /// When the earliest delayed job is due, in ms since 1970.
    pub(super) next_due: Option<i64>,
    /// For how long the queue's rate limit allows no job.
    pub(super) limited: Option<Duration>,
    /// Number of jobs that were ever added, or 0 if that is not known.
    pub(super) added: u64,
    /// Number of active jobs, of all workers.
    pub(super) active: usize,
    /// Whether there may be more jobs to take.
    pub(super) has_more: bool,
    /// Which key has another type than BullMQ's, if that kept the poll from something.
    pub(super) failure: Option<String>,
}

/// How a worker takes jobs.
pub(super) struct Taking<'a> {
    pub(super) wanted: usize,
    pub(super) lock: Duration,
    pub(super) worker_name: &'a str,
    /// Fencing token of the locks: a new one for each poll.
    pub(super) token: &'a str,
    /// Whether delayed jobs that are due are made ready.
    pub(super) looks_for_delayed: bool,
    pub(super) metrics: Option<u32>,
    pub(super) limiter: Option<RateLimit>,
}

impl Taking<'_> {
    /// What few workers have, as `poll_head.lua` takes it.
    fn extras(&self) -> Value {
        if self.metrics.is_none() && self.limiter.is_none() && self.worker_name.is_empty() {
            return Value::from_static_str("");
        }
        let (jobs, period) = self.limiter.map_or((0, 0), |limit| (limit.jobs, millis(limit.period)));
        format!("{} {jobs} {period} {}", self.metrics.unwrap_or_default(), self.worker_name).into()
    }
}

pub(super) async fn poll(client: &Client, reports: &[Report], taking: &Taking<'_>) -> Result<Received, Error> {
    client.read_clock().await?;
    let (polled_at, sent) = (client.now_ms(), Instant::now());
    let added = reports.iter().map(|report| report.job.added).min().filter(|added| *added > 0);
    let args = |words: &mut Vec<Value>| {
        words.reserve(7 + 8 * reports.len());
        words.extend([
            polled_at.to_string().into(),
            taking.lock.as_millis().to_string().into(),
            taking.token.into(),
            taking.wanted.to_string().into(),
            Value::from_static_str(if taking.looks_for_delayed { "1" } else { "" }),
            taking.extras(),
            added.map(|added| added.to_string()).unwrap_or_default().into(),
        ]);
        for report in reports {
            words.extend(report.to_args().map(Value::from));
        }
    };
    let Value::Array(answer) = client.eval_with(&script::POLL, args).await? else {
        return Err(Error::UnexpectedAnswer("a poll's answer is not a list"));
    };
    if answer.len() < 7 + reports.len() {
        return Err(Error::UnexpectedAnswer("a poll's answer does not have a code for each report"));
    }
    let mut answer = answer.into_iter();
    let [next_due, limited, active, has_more, failure, gone, added] =
        std::array::from_fn(|_| answer.next().unwrap_or(Value::Null));
    let (limited, gone): (u64, usize) = (convert(limited)?, convert(gone)?);
    let codes = answer.by_ref().take(reports.len()).map(|code| Code::try_from(convert::<i64>(code)?));
    let codes = codes.collect::<Result<_, _>>()?;
    let mut taken: Vec<Value> = answer.collect();
    let gone = taken.split_off(taken.len().saturating_sub(gone));
    Ok(Received {
        polled_at,
        sent,
        codes,
        taken: TakenJob::all_from_poll(taken.into_iter(), taking.token)?,
        gone: gone.iter().map(text).collect(),
        next_due: Some(convert(next_due)?).filter(|due| *due > 0),
        limited: (limited > 0).then(|| Duration::from_millis(limited)),
        active: convert(active)?,
        added: text(&added).parse().unwrap_or_default(),
        has_more: convert(has_more)?,
        failure: Some(text(&failure)).filter(|failure| !failure.is_empty()),
    })
}

/// Returns the jobs that the worker `uuid` has locked, other than the `known` ones: it took them by a poll whose answer
/// was lost. Returns also whether there are more: an answer has no more bytes than one job may have.
pub(super) async fn reclaim(
    client: &Client,
    uuid: &str,
    lock: Duration,
    known: impl Iterator<Item = &str>,
) -> Result<(Vec<TakenJob>, bool), Error> {
    let mut args: Vec<Value> = vec![uuid.into(), lock.as_millis().to_string().into()];
    args.extend(known.map(Value::from));
    let answer: Vec<Value> = client.eval(&script::RECLAIM, args).await?;
    let (mut jobs, mut answer) = (Vec::new(), answer.into_iter());
    let has_more = answer.next().is_some_and(|more| convert(more).unwrap_or_default());
    while let (Some(token), Some(job)) = (answer.next(), answer.next()) {
        jobs.extend(TakenJob::if_readable(job, &text(&token)));
    }
    Ok((jobs, has_more))
}
