//! One turn: report, and take.

use std::time::Duration;

use fred::types::Value;

use super::report::Report;
use crate::{Error, Queue, clock::now_ms, job::TakenJob, script};

/// What Redis answered.
pub(super) struct Turn {
    /// The time that was given, in ms since 1970: what was due by then has been looked at.
    pub(super) asked_at: i64,
    /// For each report: 0, or why it changed nothing.
    pub(super) codes: Vec<i64>,
    pub(super) taken: Vec<TakenJob>,
    /// When the earliest delayed job is due, in ms since 1970.
    pub(super) next_due: Option<i64>,
    /// How long the queue's rate limit still lasts.
    pub(super) limited: Option<Duration>,
}

/// What a worker takes jobs with.
pub(super) struct Taking<'a> {
    pub(super) wanted: usize,
    pub(super) lock: Duration,
    pub(super) worker_name: &'a str,
    /// Put before the number that makes each token unique.
    pub(super) token_prefix: &'a str,
    pub(super) first_token: u64,
}

pub(super) async fn exchange<T>(queue: &Queue<T>, reports: &[Report], taking: &Taking<'_>) -> Result<Turn, Error> {
    let asked_at = now_ms();
    let mut args: Vec<Value> = vec![
        asked_at.into(),
        taking.lock.as_millis().to_string().into(),
        taking.worker_name.into(),
        taking.token_prefix.into(),
        taking.first_token.to_string().into(),
        taking.wanted.to_string().into(),
    ];
    args.extend(reports.iter().flat_map(Report::to_args).map(Value::from));
    let Value::Array(answer) = queue.eval(&script::EXCHANGE, args).await? else {
        return Err(Error::UnexpectedAnswer("exchange gave no list"));
    };
    let [codes, Value::Array(taken), next_due, limited] =
        <[Value; 4]>::try_from(answer).map_err(|_| Error::UnexpectedAnswer("exchange gives four parts"))?
    else {
        return Err(Error::UnexpectedAnswer("jobs are no list"));
    };
    let limited: u64 = limited.convert()?;
    Ok(Turn {
        asked_at,
        codes: codes.convert()?,
        taken: taken.into_iter().map(TakenJob::from_answer).collect::<Result<_, _>>()?,
        next_due: Some(next_due.convert()?).filter(|due| *due > 0),
        limited: (limited > 0).then(|| Duration::from_millis(limited)),
    })
}
