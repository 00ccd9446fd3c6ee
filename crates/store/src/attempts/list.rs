//! Attempts at an exam: found, sorted, a page at a time, with who sits them.

use examhall_core::{Attempt, AttemptId, ExamId, ResultId, Timestamp, UserId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QuerySelect, QueryTrait,
    sea_query::Expr,
};
use uuid::Uuid;

use super::Attempts;
use crate::{
    Error, KeyKind, Listed, Position, Sort, SortKey, SortedPage,
    contains::contains,
    entity::{
        attempt::{self, Column},
        result, user,
    },
    sorted::text_key,
};

/// Which attempts at an exam are wanted; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Those of this student.
    pub user: Option<UserId>,
    /// Those that are open, or those that are submitted.
    pub is_open: Option<bool>,
    /// Those of students whose name or address contains this, in any case.
    pub text: Option<String>,
}

/// What attempts are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptSort {
    /// When they were started.
    Started,
    /// The student's name.
    Name,
    /// When they end.
    Deadline,
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

/// Without the answers, which may be long.
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

impl Sort for AttemptSort {
    fn kind(self) -> KeyKind {
        match self {
            Self::Started => KeyKind::Id,
            Self::Name => KeyKind::Text,
            Self::Deadline => KeyKind::Number,
        }
    }
}

impl AttemptSort {
    fn sql(self) -> Option<Expr> {
        match self {
            Self::Started => None,
            Self::Name => Some(text_key(Expr::col((user::Entity, user::Column::Name)))),
            Self::Deadline => Some(Expr::col((attempt::Entity, Column::Deadline))),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds fit into a double")]
    fn position(self, row: &AttemptRow) -> Position {
        let key = match self {
            Self::Started => None,
            Self::Name => Some(SortKey::Text(row.name.clone())),
            Self::Deadline => Some(SortKey::Number(row.attempt.deadline.as_millis() as f64)),
        };
        Position { key, id: row.attempt.id.0 }
    }
}

impl Attempts {
    /// Attempts at an exam, of one student or of all.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(
        &self,
        exam: ExamId,
        filter: &AttemptFilter,
        page: &SortedPage<AttemptSort>,
    ) -> Result<Listed<AttemptRow, Position>, Error> {
        let backend = self.db.read.get_database_backend();
        let student = |column| Expr::col((user::Entity, column));
        let shown = [
            Column::Id,
            Column::ExamId,
            Column::UserId,
            Column::StartedAt,
            Column::Deadline,
            Column::SavedAt,
            Column::SubmittedAt,
        ];
        let mut found = attempt::Entity::find()
            .select_only()
            .columns(shown)
            .column_as(student(user::Column::Name), "name")
            .column_as(student(user::Column::Email), "email")
            .column_as(Expr::col((result::Entity, result::Column::Id)), "result_id")
            .filter(Column::ExamId.eq(exam.0))
            .apply_if(filter.user, |found, user| found.filter(Column::UserId.eq(user.0)))
            .apply_if(filter.is_open, |found, is_open| {
                found.filter(if is_open { Column::SubmittedAt.is_null() } else { Column::SubmittedAt.is_not_null() })
            })
            .apply_if(filter.text.as_deref(), |found, text| {
                let columns = [user::Column::Name, user::Column::Email];
                let [name, email] = columns.map(|column| contains(backend, student(column), text));
                found.filter(name.or(email))
            });
        let is_theirs = student(user::Column::Id).equals((attempt::Entity, Column::UserId));
        let is_of_it = Expr::col((result::Entity, result::Column::AttemptId)).equals((attempt::Entity, Column::Id));
        QueryTrait::query(&mut found).inner_join(user::Entity, is_theirs).left_join(result::Entity, is_of_it);
        let rows = page.select(found, page.sort.sql(), Column::Id).into_model::<Row>().all(&self.db.read).await?;
        let rows = rows.into_iter().map(AttemptRow::from).collect();
        Ok(page.cut(rows, |row: &AttemptRow| page.sort.position(row)))
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
