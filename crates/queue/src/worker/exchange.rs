//! One turn: report, and take.

use std::time::Duration;

use examhall_redis::{Value, convert};

use super::report::Report;
use crate::{
    Error, Queue,
    clock::now_ms,
    job::{LONGEST_DATA, TakenJob},
    script,
};

/// What Redis answered.
pub(super) struct Turn {
    /// The time that was given, in ms since 1970: what was due by then has been looked at.
    pub(super) asked_at: i64,
    /// For each report: 0, or why it changed nothing.
    pub(super) codes: Vec<i64>,
    pub(super) taken: Vec<TakenJob>,
    /// Ids that stood for jobs whose hashes are gone: they stand there no longer.
    pub(super) gone: Vec<String>,
    /// When the earliest delayed job is due, in ms since 1970.
    pub(super) next_due: Option<i64>,
    /// How long the queue's rate limit still lasts.
    pub(super) limited: Option<Duration>,
    /// Jobs in the hands of all workers.
    pub(super) active: usize,
}

/// What a worker takes jobs with.
pub(super) struct Taking<'a> {
    pub(super) wanted: usize,
    pub(super) lock: Duration,
    pub(super) worker_name: &'a str,
    /// What the locks of these jobs hold; another one for each exchange, so that a job that is taken again has another.
    pub(super) token: &'a str,
}

pub(super) async fn exchange<T>(queue: &Queue<T>, reports: &[Report], taking: &Taking<'_>) -> Result<Turn, Error> {
    let asked_at = now_ms();
    let mut args: Vec<Value> = Vec::with_capacity(6 + 8 * reports.len());
    args.extend([
        asked_at.to_string().into(),
        taking.lock.as_millis().to_string().into(),
        taking.worker_name.into(),
        taking.token.into(),
        taking.wanted.to_string().into(),
        LONGEST_DATA.to_string().into(),
    ]);
    args.extend(reports.iter().flat_map(Report::to_args).map(Value::from));
    let Value::Array(answer) = queue.eval(&script::EXCHANGE, args).await? else {
        return Err(Error::UnexpectedAnswer("exchange gave no list"));
    };
    let [codes, taken, next_due, limited, active, gone] =
        <[Value; 6]>::try_from(answer).map_err(|_| Error::UnexpectedAnswer("exchange gives six parts"))?;
    let (codes, limited): (Vec<i64>, u64) = (convert(codes)?, convert(limited)?);
    if codes.len() != reports.len() {
        return Err(Error::UnexpectedAnswer("exchange gives a code for each report"));
    }
    Ok(Turn {
        asked_at,
        codes,
        taken: to_jobs(taken)?,
        gone: convert(gone)?,
        next_due: Some(convert(next_due)?).filter(|due| *due > 0),
        limited: (limited > 0).then(|| Duration::from_millis(limited)),
        active: convert(active)?,
    })
}

/// The jobs whose locks Redis holds for the worker `uuid` and that it does not know of, `known` being those it does: it
/// took them in a turn whose answer was lost.
pub(super) async fn adopt<T>(
    queue: &Queue<T>,
    uuid: &str,
    lock: Duration,
    known: impl Iterator<Item = &str>,
) -> Result<Vec<TakenJob>, Error> {
    let mut args: Vec<Value> = vec![uuid.into(), lock.as_millis().to_string().into(), LONGEST_DATA.to_string().into()];
    args.extend(known.map(Value::from));
    to_jobs(queue.eval(&script::ADOPT, args).await?)
}

fn to_jobs(answer: Value) -> Result<Vec<TakenJob>, Error> {
    match answer {
        Value::Array(jobs) => jobs.into_iter().map(TakenJob::from_answer).collect(),
        _ => Err(Error::UnexpectedAnswer("jobs are no list")),
    }
}
