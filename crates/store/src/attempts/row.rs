//! An attempt that is submitted, with its student and the version of its exam, read in one statement.

use std::collections::{HashMap, HashSet};

use examhall_core::{Answer, AttemptId, EmailAddress, ExamId, Locale};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, FromQueryResult, QueryFilter,
    QuerySelect, Statement, Value,
};
use uuid::Uuid;

use crate::{Error, entity::exam};

/// An attempt with what its result and the mail about it are made of.
#[derive(FromQueryResult)]
pub(super) struct Sitting {
    pub(super) id: Uuid,
    pub(super) exam_id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) deadline: i64,
    pub(super) submitted_at: Option<i64>,
    /// As text: it is parsed once, straight to answers.
    answers: String,
    pub(super) version: i64,
    pub(super) name: String,
    email: String,
    locale: Option<String>,
    results_unsubscribed_at: Option<i64>,
}

const SITTING: &str = "SELECT a.id, a.exam_id, a.user_id, a.deadline, a.submitted_at, CAST(a.answers AS TEXT) AS answers, \
    e.version, u.name, u.email, u.locale, u.results_unsubscribed_at FROM attempts a JOIN exams e ON e.id = a.exam_id JOIN users u ON u.id = a.user_id ";

impl Sitting {
    /// Reads and locks one; where another transaction hands it in, waits for that.
    pub(super) async fn lock(tx: &DatabaseTransaction, id: AttemptId) -> Result<Self, Error> {
        // The student, too: a deletion that comes first is seen, and nothing is mailed.
        let found = Self::find(tx, "WHERE a.id = $1", "FOR UPDATE OF a FOR KEY SHARE OF u", [id.0.into()]).await?;
        found.into_iter().next().ok_or(Error::NotFound)
    }

    /// Reads and locks up to `limit` open ones whose deadline is not after `last_deadline`, oldest first, from `after`
    /// on. Those that others hold are left to them.
    pub(super) async fn claim(
        tx: &DatabaseTransaction,
        after: (i64, Uuid),
        limit: u64,
        last_deadline: i64,
    ) -> Result<Vec<Self>, Error> {
        let due = "WHERE a.submitted_at IS NULL AND a.deadline <= $1 AND a.deadline >= $2 AND (a.deadline, a.id) > ($2, $3) \
             ORDER BY a.deadline, a.id LIMIT $4";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values: [Value; 4] = [last_deadline.into(), after.0.into(), after.1.into(), limit.into()];
        Self::find(tx, due, "FOR UPDATE OF a SKIP LOCKED", values).await
    }

    async fn find(
        tx: &DatabaseTransaction,
        filter: &str,
        lock: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Self>, Error> {
        let backend = tx.get_database_backend();
        // SQLite has one writer, which is us.
        let lock = if backend == DbBackend::Postgres { lock } else { "" };
        let statement = Statement::from_sql_and_values(backend, format!("{SITTING}{filter} {lock}"), values);
        let rows = tx.query_all_raw(statement).await?;
        let found: Vec<Self> = rows.iter().map(|row| Self::from_query_result(row, "")).collect::<Result<_, _>>()?;
        if backend == DbBackend::Postgres { Self::with_versions(tx, found).await } else { Ok(found) }
    }

    /// Reads the exams' versions again now that the attempts are locked: the statement that has locked them may have waited
    /// while a key was changed and a regrade went past them, and sees neither.
    async fn with_versions(tx: &DatabaseTransaction, mut found: Vec<Self>) -> Result<Vec<Self>, Error> {
        let exams: HashSet<Uuid> = found.iter().map(|sitting| sitting.exam_id).collect();
        if exams.is_empty() {
            return Ok(found);
        }
        let read = exam::Entity::find().filter(exam::Column::Id.is_in(exams)).select_only();
        let read = read.column(exam::Column::Id).column(exam::Column::Version).into_tuple::<(Uuid, i64)>();
        let versions: HashMap<Uuid, i64> = read.all(tx).await?.into_iter().collect();
        for sitting in &mut found {
            sitting.version = versions.get(&sitting.exam_id).copied().unwrap_or(sitting.version);
        }
        Ok(found)
    }

    pub(super) fn answers(&self) -> Result<Vec<Answer>, Error> {
        serde_json::from_str(&self.answers).map_err(|_| Error::Corrupt { table: "attempts", column: "answers" })
    }

    pub(super) fn exam(&self) -> ExamId {
        ExamId(self.exam_id)
    }

    pub(super) fn email(&self) -> EmailAddress {
        EmailAddress::from_stored(self.email.clone())
    }

    pub(super) fn locale(&self) -> Option<Locale> {
        self.locale.as_deref().and_then(|tag| Locale::parse(tag).ok())
    }

    /// Whether results are mailed to the student.
    pub(super) fn is_mailed(&self) -> bool {
        self.results_unsubscribed_at.is_none()
    }
}
