//! How an exam comes from draft to published to closed, and back: with the attempts that are open meanwhile.

use std::time::Duration;

use examhall_core::{Attempt, Exam, ExamId, ExamStatus, Patch, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    TryIntoModel,
};
use serde_json::json;

use super::{
    Exams,
    row::{lock, to_exam},
};
use crate::{
    Editor, Error, Versioned,
    audit::{self, Entry},
    deadlines,
    entity::question,
};

/// What closing an exam did.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// The exam as it is then.
    pub exam: Versioned<Exam>,
    /// Attempts that are open, and end.
    pub open_attempts: u64,
    /// From then on they take no answers, and are submitted as they are.
    pub attempts_end_at: Timestamp,
}

impl Exams {
    /// Publishes a draft that has questions. One that is published stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`], [`Error::WrongState`], [`Error::Unavailable`].
    pub async fn publish(&self, id: ExamId, editor: Editor, now: Timestamp) -> Result<Versioned<Exam>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = lock(&tx, id, editor.expected).await?;
                let Versioned { version, value: Exam { status, .. } } = to_exam(row.clone())?;
                match status {
                    ExamStatus::Published => return to_exam(row),
                    ExamStatus::Closed => return Err(Error::WrongState("the exam is closed: reopen it")),
                    ExamStatus::Draft => {}
                }
                if question::Entity::find().filter(question::Column::ExamId.eq(id.0)).count(&tx).await? == 0 {
                    return Err(Error::WrongState("the exam has no questions yet"));
                }
                let mut changed = row.into_active_model();
                changed.status = Set(ExamStatus::Published.as_str().to_owned());
                self.save(tx, changed, version, Some(step(editor, "publish exam", id, status)), now).await
            })
            .await
    }

    /// Closes a published exam: its open attempts end after `grace`, and are submitted. Of one that is closed, attempts that
    /// are still open end after `grace` at the latest.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn close(&self, id: ExamId, grace: Duration, editor: Editor, now: Timestamp) -> Result<Closed, Error> {
        let attempts_end_at = now.plus(grace).plus(Attempt::GRACE);
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = lock(&tx, id, editor.expected).await?;
                let Versioned { version, value: Exam { status, .. } } = to_exam(row.clone())?;
                match status {
                    ExamStatus::Published => {}
                    ExamStatus::Closed => {
                        let (open_attempts, last) = end_sooner(&tx, id, now.plus(grace), editor, now).await?;
                        tx.commit().await?;
                        let attempts_end_at = last.map_or(attempts_end_at, |last| last.plus(Attempt::GRACE));
                        return Ok(Closed { exam: to_exam(row)?, open_attempts, attempts_end_at });
                    }
                    ExamStatus::Draft => return Err(Error::WrongState("the exam is not published")),
                }
                let open_attempts = deadlines::end(&tx, id, now.plus(grace)).await?;
                let mut changed = row.into_active_model();
                changed.status = Set(ExamStatus::Closed.as_str().to_owned());
                let entry = step(editor, "close exam", id, status).affecting(1 + open_attempts);
                let exam = self.save(tx, changed, version, Some(entry), now).await?;
                Ok(Closed { exam, open_attempts, attempts_end_at })
            })
            .await
    }

    /// Publishes a closed exam again, with another end if that is given. Attempts that are still open get their time back;
    /// what is submitted stays submitted.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`Error::BadWindow`]; [`Error::WrongState`] where its end has passed, too.
    pub async fn reopen(
        &self,
        id: ExamId,
        closes_at: Patch<Timestamp>,
        editor: Editor,
        now: Timestamp,
    ) -> Result<Versioned<Exam>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = lock(&tx, id, editor.expected).await?;
                let Versioned { version, value: before } = to_exam(row.clone())?;
                match before.status {
                    ExamStatus::Published => return to_exam(row),
                    ExamStatus::Draft => return Err(Error::WrongState("the exam is not published")),
                    ExamStatus::Closed => {}
                }
                let closes_at = closes_at.applied_to(before.closes_at);
                if !Exam::is_window(before.opens_at, closes_at) {
                    return Err(Error::BadWindow);
                }
                if closes_at.is_some_and(|closes_at| closes_at <= now) {
                    return Err(Error::WrongState(
                        "the exam's end has passed: reopen it with another closesAt, or null",
                    ));
                }
                let mut changed = row.into_active_model();
                changed.status = Set(ExamStatus::Published.as_str().to_owned());
                changed.closes_at = Set(closes_at.map(Timestamp::as_millis));
                let after = to_exam(changed.clone().try_into_model()?)?.value;
                deadlines::follow(&tx, &after, now).await?;
                let (before, after) = super::change::differences(&before, &after).unwrap_or_default();
                let entry = Entry::of_exam(editor.user, "reopen exam", id).changing(before, after);
                self.save(tx, changed, version, Some(entry), now).await
            })
            .await
    }
}

/// Ends the open attempts of a closed exam, at the latest then; returns how many are open, and when the last of them ends.
async fn end_sooner(
    tx: &DatabaseTransaction,
    id: ExamId,
    at: Timestamp,
    editor: Editor,
    now: Timestamp,
) -> Result<(u64, Option<Timestamp>), Error> {
    let before = deadlines::last(tx, id).await?;
    let open_attempts = deadlines::end(tx, id, at).await?;
    let after = deadlines::last(tx, id).await?;
    if before != after {
        let entry = Entry::of_exam(editor.user, "close exam", id).affecting(open_attempts);
        let entry = entry.changing(json!({"lastDeadline": before}), json!({"lastDeadline": after}));
        audit::write(tx, entry, now).await?;
    }
    Ok((open_attempts, after))
}

fn step(editor: Editor, action: &'static str, id: ExamId, from: ExamStatus) -> Entry {
    let to = if from == ExamStatus::Draft { ExamStatus::Published } else { ExamStatus::Closed };
    Entry::of_exam(editor.user, action, id).changing(json!({"status": from}), json!({"status": to}))
}
