//! Grading again in the background: any process goes on with what another has begun.

use std::{sync::Arc, time::Duration};

use examhall_core::{ExamId, ExamResult, Timestamp};
use examhall_store::{Error, Grading, NewMail, PreparedPaper, RegradePreview, RegradeStep, Regrading, Submission};
use tokio::{runtime::Handle, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{
    http::problem::Problem,
    mail::{MailTemplate, ResultNews},
    state::{State, now},
};

/// How often it is looked for regrades where nobody says that there is one.
const POLL: Duration = Duration::from_secs(1);
/// Attempts graded again in one transaction, for which students that submit wait.
const BATCH: u64 = 100;

/// Grades again with the papers in memory.
struct Regrader<'a> {
    state: &'a State,
    at: Timestamp,
}

impl Grading for Regrader<'_> {
    fn paper(&self, exam: ExamId, version: i64) -> Option<Arc<PreparedPaper>> {
        self.state.papers.at(exam, version)
    }

    fn mail(&self, submission: &Submission) -> NewMail {
        self.envelope(submission, MailTemplate::Result)
    }
}

impl Regrading for Regrader<'_> {
    fn mail_of_change(&self, changed: &Submission, before: &ExamResult) -> NewMail {
        self.envelope(changed, |news| MailTemplate::ResultChanged(news.after(before)))
    }
}

impl Regrader<'_> {
    fn envelope(&self, about: &Submission, template: impl Fn(ResultNews) -> MailTemplate) -> NewMail {
        let template = template(ResultNews::new(&about.name, &about.title, &about.result));
        self.state.mail_composer.envelope(about.email.clone(), &template, about.locale.as_ref(), self.at)
    }
}

/// Grades again what authors have asked for, until `stop`.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = run_all(&state, &stop).await {
            tracing::warn!(%error, "Regrades wait");
        }
        tokio::select! {
            () = state.regrade.notified() => {}
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One whose exam cannot be read holds up no other.
async fn run_all(state: &State, stop: &CancellationToken) -> Result<(), Error> {
    let mut skipped = Vec::new();
    while !stop.is_cancelled() {
        let at = now();
        match state.store.regrades.step(&Regrader { state, at }, &skipped, BATCH, at).await? {
            RegradeStep::Idle => return Ok(()),
            RegradeStep::Needs(exam, version) => {
                if let Err(error) = state.papers.load(&state.store, exam, Some(version)).await {
                    tracing::error!(exam_id = %exam, %error, "Results cannot be graded again");
                    skipped.push(exam);
                }
            }
            RegradeStep::Done(regrade) => {
                state.wake.notify_one();
                if regrade.finished_at.is_some() {
                    let (results, changed) = (regrade.graded, regrade.counts.changed);
                    tracing::info!(exam_id = %regrade.exam_id, results, changed, "Results graded again");
                }
            }
        }
    }
    Ok(())
}

/// What grading an exam's results again would change, at this version or a later one; computed off the HTTP threads.
pub(crate) async fn preview(
    state: &State,
    exam: ExamId,
    version: i64,
) -> Result<(Arc<PreparedPaper>, RegradePreview), Problem> {
    let paper = state.papers.load(&state.store, exam, Some(version)).await?;
    let (store, runtime, key) = (state.store.clone(), Handle::current(), Arc::clone(&paper));
    let compute = move || runtime.block_on(store.regrades.preview(&key, now()));
    let preview = spawn_blocking(compute).await.map_err(|panic| Problem::internal(&panic))??;
    Ok((paper, preview))
}
