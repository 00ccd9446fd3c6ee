//! Attempts at an exam, a page at a time: of one student, or of all with who they are.

use examhall_core::{Attempt, AttemptId, ExamId, ResultId, Timestamp, UserId};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use uuid::Uuid;

use super::Attempts;
use crate::{Error, Listed, Page};

/// Which attempts at an exam are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Those of this student.
    pub user: Option<UserId>,
    /// Those that are open, or those that are submitted.
    pub is_open: Option<bool>,
}

/// An attempt with its student, as authors see it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    /// The attempt.
    pub attempt: Attempt,
    /// When answers were last saved.
    pub saved_at: Option<Timestamp>,
    /// Its result, once there is one.
    pub result: Option<ResultId>,
    /// The student's name.
    pub name: String,
    /// The student's address.
    pub email: String,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    exam_id: Uuid,
    user_id: Uuid,
    started_at: i64,
    deadline: i64,
    saved_at: Option<i64>,
    submitted_at: Option<i64>,
    result_id: Option<Uuid>,
    name: String,
    email: String,
}

impl Attempts {
    /// Attempts at an exam, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(&self, exam: ExamId, filter: AttemptFilter, page: Page) -> Result<Listed<AttemptRow>, Error> {
        let is_open = match filter.is_open {
            None => "",
            Some(true) => "AND a.submitted_at IS NULL",
            Some(false) => "AND a.submitted_at IS NOT NULL",
        };
        let of_user = if filter.user.is_some() { "AND a.user_id = $4" } else { "" };
        let sql = format!(
            "SELECT a.id, a.exam_id, a.user_id, a.started_at, a.deadline, a.saved_at, a.submitted_at, r.id AS result_id, \
             u.name, u.email FROM attempts a JOIN users u ON u.id = a.user_id LEFT JOIN results r ON r.attempt_id = a.id \
             WHERE a.exam_id = $1 AND a.id > $2 {of_user} {is_open} ORDER BY a.id LIMIT $3"
        );
        let limit = i64::try_from(page.fetch()).unwrap_or(i64::MAX);
        let mut values: Vec<Value> = vec![exam.0.into(), page.after.unwrap_or_default().into(), limit.into()];
        values.extend(filter.user.map(|user| Value::from(user.0)));
        let statement = Statement::from_sql_and_values(self.db.read.get_database_backend(), sql, values);
        let rows = self.db.read.query_all_raw(statement).await?;
        let rows = rows.iter().map(|row| Row::from_query_result(row, "").map(AttemptRow::from));
        Ok(page.cut(rows.collect::<Result<_, _>>()?, |row: &AttemptRow| row.attempt.id.0))
    }
}

impl From<Row> for AttemptRow {
    fn from(row: Row) -> Self {
        let attempt = Attempt {
            id: AttemptId(row.id),
            exam_id: ExamId(row.exam_id),
            user_id: UserId(row.user_id),
            started_at: Timestamp::from_millis(row.started_at),
            deadline: Timestamp::from_millis(row.deadline),
            submitted_at: row.submitted_at.map(Timestamp::from_millis),
            order: None,
        };
        Self {
            attempt,
            saved_at: row.saved_at.map(Timestamp::from_millis),
            result: row.result_id.map(ResultId),
            name: row.name,
            email: row.email,
        }
    }
}
