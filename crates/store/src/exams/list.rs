//! Exams that somebody may see: found, sorted, a page at a time.

use examhall_core::{Admission, Exam, ExamStatus, Role, UserId, Viewer};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryTrait,
    sea_query::{Expr, ExprTrait, Func},
};

use super::{Exams, row::to_exam};
use crate::{
    Error, KeyKind, Listed, Position, Sort, SortKey, SortedPage, attempts, contains::contains, entity::exam, seats,
    sorted::text_key,
};

/// Which exams are wanted; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExamFilter {
    /// Those in this state.
    pub status: Option<ExamStatus>,
    /// Those of this author.
    pub author: Option<UserId>,
    /// Those whose title contains this, in any case.
    pub text: Option<String>,
}

/// What exams are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExamSort {
    /// When they were drafted.
    Created,
    /// Their title.
    Title,
    /// When they open; first those that have no such moment.
    Opens,
}

impl Sort for ExamSort {
    fn kind(self) -> KeyKind {
        match self {
            Self::Created => KeyKind::Id,
            Self::Title => KeyKind::Text,
            Self::Opens => KeyKind::Number,
        }
    }
}

impl ExamSort {
    fn sql(self) -> Option<Expr> {
        let column = |column: exam::Column| Expr::col((exam::Entity, column));
        match self {
            Self::Created => None,
            Self::Title => Some(text_key(column(exam::Column::Title))),
            Self::Opens => Some(Func::coalesce([column(exam::Column::OpensAt), Expr::value(0_i64)]).into()),
        }
    }

    fn position(self, row: &exam::Model) -> Position {
        #[expect(clippy::cast_precision_loss, reason = "moments are below 2^53")]
        let key = match self {
            Self::Created => None,
            Self::Title => Some(SortKey::Text(row.title.clone())),
            Self::Opens => Some(SortKey::Number(row.opens_at.unwrap_or(0) as f64)),
        };
        Position { key, id: row.id }
    }
}

impl Exams {
    /// The exams that `viewer` may see: all for admins, else their own and what is no draft; for a student none whose roster
    /// they are not on, unless they have begun it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(
        &self,
        viewer: Viewer,
        filter: &ExamFilter,
        page: &SortedPage<ExamSort>,
    ) -> Result<Listed<Exam, Position>, Error> {
        let backend = self.db.read.get_database_backend();
        let mut found = exam::Entity::find()
            .apply_if(filter.status, |found, status| found.filter(exam::Column::Status.eq(status.as_str())))
            .apply_if(filter.author, |found, author| found.filter(exam::Column::AuthorId.eq(author.0)))
            .apply_if(filter.text.as_deref(), |found, text| {
                found.filter(contains(backend, Expr::col((exam::Entity, exam::Column::Title)), text))
            });
        if viewer.role != Role::Admin {
            let is_no_draft = exam::Column::Status.ne(ExamStatus::Draft.as_str());
            found = found.filter(Condition::any().add(is_no_draft).add(exam::Column::AuthorId.eq(viewer.id.0)));
        }
        if viewer.role == Role::Student {
            let has_roster = exam::Column::Access.eq(Admission::Roster.as_str());
            let is_seated = exam::Column::Id.in_subquery(seats::exams_of(viewer.id));
            let is_begun = exam::Column::Id.in_subquery(attempts::exams_of(viewer.id));
            found = found.filter(Condition::any().add(has_roster.not()).add(is_seated).add(is_begun));
        }
        let rows = page.select(found, page.sort.sql(), exam::Column::Id).all(&self.db.read).await?;
        let Listed { items, next } = page.cut(rows, |row: &exam::Model| page.sort.position(row));
        // One that cannot be read must not take the others down.
        let readable = |row: exam::Model| {
            let id = row.id;
            let exam =
                to_exam(row).inspect_err(|error| tracing::error!(exam_id = %id, %error, "Exam left out of a list"));
            exam.ok().map(|exam| exam.value)
        };
        Ok(Listed { items: items.into_iter().filter_map(readable).collect(), next })
    }
}
