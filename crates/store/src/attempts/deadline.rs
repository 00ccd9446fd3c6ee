//! Another deadline for one attempt.

use examhall_core::{Allowance, Attempt, AttemptId, ExamId, Timestamp, UserId};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, QuerySelect, sea_query::LockType};
use serde_json::json;

use super::{Attempts, to_attempt};
use crate::{
    Error,
    audit::{self, Entry},
    entity::{attempt, exam},
    exams::row::to_exam,
};

impl Attempts {
    /// Lets an open attempt end at `deadline`; what moves all attempts at the exam moves it from there. Against a submission
    /// at the same time, one of them comes first, and decides.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`]; [`Error::WrongState`] where it is submitted.
    pub async fn set_deadline(
        &self,
        id: AttemptId,
        deadline: Timestamp,
        by: UserId,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Attempt, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let found = attempt::Entity::find_by_id(id.0).one(&tx).await?.ok_or(Error::NotFound)?;
                // The exam first, as everything locks that changes both.
                let exam = exam::Entity::find_by_id(found.exam_id).lock(LockType::Share).one(&tx).await?;
                let exam = to_exam(exam.ok_or(Error::NotFound)?)?.value;
                let row = attempt::Entity::find_by_id(id.0).lock(LockType::Update).one(&tx).await?;
                let row = row.ok_or(Error::NotFound)?;
                if row.submitted_at.is_some() {
                    return Err(Error::WrongState("the attempt has been submitted"));
                }
                let before = to_attempt(&row);
                if before.deadline == deadline {
                    return Ok(before);
                }
                let allowance = Allowance { percent: row.time_percent.max(0).unsigned_abs(), extra_ms: row.extra_ms };
                let allowance = allowance.ending_at(&exam, before.started_at, deadline);
                let mut changed = row.into_active_model();
                changed.deadline = Set(deadline.as_millis());
                changed.extra_ms = Set(allowance.extra_ms);
                let after = to_attempt(&changed.update(&tx).await?);
                let entry = Entry::of_exam(by, "set deadline", ExamId(exam.id.0))
                    .about(before.user_id)
                    .changing(
                        json!({"attemptId": id, "deadline": before.deadline}),
                        json!({"attemptId": id, "deadline": after.deadline}),
                    )
                    .because(reason.map(ToOwned::to_owned));
                audit::write(&tx, entry, now).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await
    }
}
