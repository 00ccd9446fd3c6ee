//! All that a student has sat, for their own copy of it.

use std::collections::HashMap;

use examhall_core::{Attempt, Exam, ExamResult, Mark, UserId};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Attempts, Saved, to_attempt, to_saved};
use crate::{
    Error,
    entity::{attempt, exam, result},
    exams::row::to_exam,
    results::to_result,
};

/// Attempts that are exported at most: the newest ones.
const MOST: u64 = 10_000;

/// An attempt with all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnAttempt {
    /// The attempt.
    pub attempt: Attempt,
    /// What is stored of its answers.
    pub saved: Saved,
    /// The exam.
    pub exam: Exam,
    /// Its result with the points of each question, once there is one.
    pub result: Option<(ExamResult, Vec<Mark>)>,
}

impl Attempts {
    /// A student's attempts at all exams, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn of_user(&self, user: UserId) -> Result<Vec<OwnAttempt>, Error> {
        let rows = attempt::Entity::find().filter(attempt::Column::UserId.eq(user.0));
        let rows = rows.order_by_desc(attempt::Column::Id).limit(MOST).all(&self.db.read).await?;
        let exams = exam::Entity::find().filter(exam::Column::Id.is_in(rows.iter().map(|row| row.exam_id)));
        let exams: HashMap<_, _> = exams.all(&self.db.read).await?.into_iter().map(|row| (row.id, row)).collect();
        let results = result::Entity::find().filter(result::Column::AttemptId.is_in(rows.iter().map(|row| row.id)));
        let results = results.all(&self.db.read).await?;
        let mut results: HashMap<_, _> = results.into_iter().map(|row| (row.attempt_id, row)).collect();
        rows.into_iter()
            .map(|row| {
                let exam = exams.get(&row.exam_id).cloned().ok_or(Error::NotFound)?;
                let result = results.remove(&row.id).map(|row| {
                    let shown = to_result(&row);
                    let marks = serde_json::from_value(row.marks);
                    Ok::<_, Error>((shown, marks.map_err(|_| Error::Corrupt { table: "results", column: "marks" })?))
                });
                Ok(OwnAttempt {
                    attempt: to_attempt(&row),
                    saved: to_saved(row)?,
                    exam: to_exam(exam)?.value,
                    result: result.transpose()?,
                })
            })
            .collect()
    }
}
