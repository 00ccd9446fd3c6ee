//! Results of an exam, with their students: found, sorted, a page at a time.

use examhall_core::{ExamId, ExamResult, UserId};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryTrait, sea_query::Expr};

use super::{Results, to_result};
use crate::{
    Error, KeyKind, Listed, Position, Sort, SortKey, SortedPage,
    contains::contains,
    entity::{result, user},
    sorted::text_key,
};

/// Which results of an exam are wanted; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultFilter {
    /// Those of this student.
    pub user: Option<UserId>,
    /// Those of students whose name or address contains this, in any case.
    pub text: Option<String>,
}

/// What results are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultSort {
    /// When they were graded.
    Graded,
    /// The student's name.
    Name,
    /// The points.
    Score,
}

/// A result with its student.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedResult {
    /// The result.
    pub result: ExamResult,
    /// The student's name.
    pub name: String,
    /// The student's address.
    pub email: String,
}

impl Sort for ResultSort {
    fn kind(self) -> KeyKind {
        match self {
            Self::Graded => KeyKind::Id,
            Self::Name => KeyKind::Text,
            Self::Score => KeyKind::Number,
        }
    }
}

impl ResultSort {
    fn sql(self) -> Option<Expr> {
        match self {
            Self::Graded => None,
            Self::Name => Some(text_key(Expr::col((user::Entity, user::Column::Name)))),
            Self::Score => Some(Expr::col((result::Entity, result::Column::Score))),
        }
    }

    fn position(self, row: &NamedResult) -> Position {
        let key = match self {
            Self::Graded => None,
            Self::Name => Some(SortKey::Text(row.name.clone())),
            Self::Score => Some(SortKey::Number(row.result.score)),
        };
        Position { key, id: row.result.id.0 }
    }
}

impl Results {
    /// The results of an exam, of one student or of all.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(
        &self,
        exam: ExamId,
        filter: &ResultFilter,
        page: &SortedPage<ResultSort>,
    ) -> Result<Listed<NamedResult, Position>, Error> {
        let backend = self.db.read.get_database_backend();
        let student = |column| Expr::col((user::Entity, column));
        let mut found = result::Entity::find()
            .filter(result::Column::ExamId.eq(exam.0))
            .apply_if(filter.user, |found, user| found.filter(result::Column::UserId.eq(user.0)))
            .apply_if(filter.text.as_deref(), |found, text| {
                let columns = [user::Column::Name, user::Column::Email];
                let [name, email] = columns.map(|column| contains(backend, student(column), text));
                found.filter(name.or(email))
            });
        let is_theirs = student(user::Column::Id).equals((result::Entity, result::Column::UserId));
        QueryTrait::query(&mut found).inner_join(user::Entity, is_theirs);
        let rows = page.select(found, page.sort.sql(), result::Column::Id).all(&self.db.read).await?;
        let users = self.students(&rows).await?;
        let named = |row: &result::Model| {
            let (name, email) =
                users.get(&row.user_id).map(|user| (user.name.clone(), user.email.clone())).unwrap_or_default();
            NamedResult { result: to_result(row), name, email }
        };
        Ok(page.cut(rows.iter().map(named).collect(), |row: &NamedResult| page.sort.position(row)))
    }
}
