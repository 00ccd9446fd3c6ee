//! Handing attempts in: by the student, or by the sweeper once their time is over.

use std::{sync::Arc, time::Duration};

use examhall_core::{AttemptId, ExamId, ExamResult, Locale, ResultId, Timestamp, Ungraded, UserId};
use examhall_store::{Error, Grading, NewMail, Place, PreparedPaper, Submission, Submitted};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    mail::{MailTemplate, ResultNews},
    state::{State, now},
};

/// How often attempts are looked for whose time is over.
const POLL: Duration = Duration::from_secs(1);
/// Attempts submitted at a time.
const BATCH: u64 = 100;
/// How often a paper is loaded for one submission: an exam is seldom changed while it is submitted.
const LOADS: usize = 5;

/// What came of submitting: the result, as far as the student may see it now, and what could not be graded.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HandedIn {
    /// The result.
    pub(crate) id: ResultId,
    pub(crate) exam_id: ExamId,
    pub(crate) attempt_id: AttemptId,
    pub(crate) user_id: UserId,
    pub(crate) graded_at: Timestamp,
    /// Absent, as are the next three, until the exam shows its results.
    #[serde(flatten)]
    shown: Option<Shown>,
    /// Answers that cannot be graded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ungraded: Vec<Ungraded>,
}

/// What a student earned.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Shown {
    /// Points earned.
    score: f64,
    /// Points that could be earned.
    max_score: f64,
    /// `score` of `maxScore`, 0 to 100.
    percent: f64,
    /// Whether `percent` reached the exam's pass mark.
    passed: bool,
}

impl HandedIn {
    fn new(result: &ExamResult, is_shown: bool, ungraded: Vec<Ungraded>) -> Self {
        let ExamResult { id, exam_id, attempt_id, user_id, score, max_score, percent, passed, graded_at, .. } = *result;
        let shown = is_shown.then_some(Shown { score, max_score, percent, passed });
        Self { id, exam_id, attempt_id, user_id, graded_at, shown, ungraded }
    }
}

/// Grades with the papers in memory.
struct Grader<'a> {
    state: &'a State,
    at: Timestamp,
    /// Of mails to students that have not chosen one.
    language: Option<&'a Locale>,
}

impl Grading for Grader<'_> {
    fn paper(&self, exam: ExamId, version: i64) -> Option<Arc<PreparedPaper>> {
        self.state.papers.at(exam, version)
    }

    fn mail(&self, submission: &Submission) -> NewMail {
        let news = ResultNews::new(&submission.name, &submission.title, &submission.result);
        let (to, locale) = (submission.email.clone(), submission.locale.as_ref().or(self.language));
        self.state.mail_composer.envelope(to, &MailTemplate::Result(news), locale, self.at)
    }
}

/// Submits a student's attempt, once: returns its result, and queues the mail that reports it.
///
/// The mail is in the student's language, or else in this one.
pub(crate) async fn submit(
    state: &State,
    attempt: AttemptId,
    student: UserId,
    language: Option<&Locale>,
) -> Result<HandedIn, Error> {
    let (at, store) = (now(), &state.store);
    let grader = Grader { state, at, language };
    with_paper(state, async || store.attempts.submit(attempt, student, &grader, at).await).await
}

/// Submits a student's attempt if its time is over.
pub(crate) async fn submit_overdue(state: &State, attempt: AttemptId, student: UserId) -> Result<HandedIn, Error> {
    let (at, store) = (now(), &state.store);
    let grader = Grader { state, at, language: None };
    with_paper(state, async || store.attempts.submit_overdue(attempt, student, &grader, at).await).await
}

/// Submits, and again with the paper that was missing.
async fn with_paper(state: &State, submit: impl AsyncFn() -> Result<Submitted, Error>) -> Result<HandedIn, Error> {
    for _ in 0..=LOADS {
        match submit().await? {
            Submitted::Done { result, ungraded, is_shown } => {
                state.wake.notify_one();
                return Ok(HandedIn::new(&result, is_shown, ungraded));
            }
            Submitted::Needs(exam, version) => {
                state.papers.load(&state.store, exam, Some(version)).await?;
            }
        }
    }
    Err(Error::WrongState("the exam is being changed: submit again"))
}

/// Submits the attempts that students left open, until `stop`. Several processes share the work: an attempt is graded once.
pub(crate) async fn sweep(state: Arc<State>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = sweep_all(&state, &stop).await {
            tracing::warn!(%error, "Attempts stay open for now");
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One that cannot be submitted holds up no other: only a database that is away ends the round.
async fn sweep_all(state: &State, stop: &CancellationToken) -> Result<(), Error> {
    let (mut stuck, mut place) = (Stuck::default(), Some(Place::START));
    while let Some(from) = place.filter(|_| !stop.is_cancelled()) {
        place = sweep_batch(state, from, &mut stuck).await?;
    }
    if let Some((attempt, error)) = stuck.first {
        tracing::error!(attempts = stuck.count, attempt_id = %attempt, %error, "Attempts cannot be submitted");
    }
    Ok(())
}

/// Attempts that cannot be submitted, and why the first of them cannot.
#[derive(Default)]
struct Stuck {
    count: usize,
    first: Option<(AttemptId, Error)>,
}

impl Stuck {
    fn add(&mut self, attempt: AttemptId, error: Error) {
        self.count += 1;
        self.first.get_or_insert((attempt, error));
    }
}

/// Returns where the next batch begins.
async fn sweep_batch(state: &State, from: Place, stuck: &mut Stuck) -> Result<Option<Place>, Error> {
    let at = now();
    let sweep = async || {
        let swept = state.store.attempts.sweep(from, BATCH, &Grader { state, at, language: None }, at).await?;
        for attempt in &swept.done {
            tracing::info!(attempt_id = %attempt, "Attempt submitted at its deadline");
        }
        if !swept.done.is_empty() {
            state.wake.notify_one();
        }
        Ok::<_, Error>(swept)
    };
    let mut swept = sweep().await?;
    let mut reason = None;
    if !swept.needs.is_empty() {
        let missing = swept.needs.iter().map(|(_, exam, version)| (*exam, *version)).collect();
        let (any, failed) = state.papers.load_all(&state.store, missing).await;
        if let Some(error @ (Error::Unavailable(_) | Error::ReadOnly)) = failed {
            return Err(error);
        }
        reason = failed;
        if any {
            swept = sweep().await?; // those that cannot be submitted are found again
        }
    }
    for (attempt, error) in swept.stuck {
        stuck.add(attempt, error);
    }
    // Without a reason its paper was changed or pushed out of memory meanwhile: the next round takes it.
    if let (Some(error), Some((attempt, ..))) = (reason, swept.needs.first()) {
        stuck.count += swept.needs.len() - 1;
        stuck.add(*attempt, error);
    }
    Ok(swept.next)
}
