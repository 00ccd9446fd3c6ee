//! What came of attempts.

mod list;
mod statistics;

use std::collections::HashMap;

use examhall_core::{AttemptId, Change, ExamId, ExamResult, Mark, Priority, ResultAccess, ResultId, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait,
    ExprTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select, Statement, Value,
    sea_query::Expr,
};
use uuid::Uuid;

pub use self::list::{NamedResult, ResultFilter, ResultSort};
use crate::{
    Error, Listed, Page, Versioned,
    audit::{self, Entry},
    db::Db,
    entity::{exam, result, user},
    exams::row::lock,
    questions::row::ids as question_ids,
};

/// What came of attempts.
#[derive(Clone, Debug)]
pub struct Results {
    db: Db,
}

/// A result with whom it belongs to, as authors see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultRow {
    /// The result.
    pub result: ExamResult,
    /// The attempt that it is of.
    pub attempt_id: AttemptId,
    /// The points of each question.
    pub marks: Vec<Mark>,
    /// The student's name.
    pub name: String,
    /// The student's address.
    pub email: String,
}

/// Rows that are read at a time where a whole exam is gone through.
const CHUNK: u64 = 500;

impl Results {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// A result and the viewers it is for.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn get(&self, id: ResultId) -> Result<Versioned<(ExamResult, ResultAccess)>, Error> {
        metrics::counter!("store_loads_total", "what" => "result").increment(1);
        let row = result::Entity::find_by_id(id.0).one(&self.db.read).await?.ok_or(Error::NotFound)?;
        let exam = exam::Entity::find_by_id(row.exam_id).one(&self.db.read).await?.ok_or(Error::NotFound)?;
        let access = ResultAccess {
            user_id: UserId(row.user_id),
            author_id: UserId(exam.author_id),
            exam_id: ExamId(row.exam_id),
            graded_at: Timestamp::from_millis(row.graded_at),
        };
        Ok(Versioned { version: row.version, value: (to_result(&row), access) })
    }

    /// A result with the points of each question.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn marks(&self, id: ResultId) -> Result<Versioned<(ExamResult, Vec<Mark>)>, Error> {
        let row = result::Entity::find_by_id(id.0).one(&self.db.read).await?.ok_or(Error::NotFound)?;
        let (version, result) = (row.version, to_result(&row));
        let marks = serde_json::from_value(row.marks);
        let marks = marks.map_err(|_| Error::Corrupt { table: "results", column: "marks" })?;
        Ok(Versioned { version, value: (result, marks) })
    }

    /// The next results of an exam with their students, oldest first, for an export that goes through all of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn export(&self, exam: ExamId, after: Option<Uuid>) -> Result<Listed<ResultRow>, Error> {
        let page = Page { limit: CHUNK, after };
        let rows = in_order(exam, page).all(&self.db.read).await?;
        let users = self.students(&rows).await?;
        let with_student = |row: &result::Model| {
            let student = users.get(&row.user_id);
            ResultRow {
                result: to_result(row),
                attempt_id: AttemptId(row.attempt_id),
                marks: serde_json::from_value(row.marks.clone()).unwrap_or_else(|error| {
                    tracing::error!(result_id = %row.id, %error, "Marks left out of an export: they cannot be read");
                    Vec::new()
                }),
                name: student.map(|user| user.name.clone()).unwrap_or_default(),
                email: student.map(|user| user.email.clone()).unwrap_or_default(),
            }
        };
        Ok(page.cut(rows.iter().map(with_student).collect(), |row: &ResultRow| row.result.id.0))
    }

    /// The students of results, by their ids.
    async fn students(&self, rows: &[result::Model]) -> Result<HashMap<Uuid, user::Model>, Error> {
        let ids = rows.iter().map(|row| row.user_id);
        let users = user::Entity::find().filter(user::Column::Id.is_in(ids)).all(&self.db.read).await?;
        Ok(users.into_iter().map(|user| (user.id, user)).collect())
    }

    /// Publishes what is not published of an exam's results: one mail for each student that wants
    /// any, of their best new result.
    /// Returns their number. The database does it alone, so it costs no memory here.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn publish(
        &self,
        exam: ExamId,
        template: &str,
        trace: Option<String>,
        by: UserId,
        now: Timestamp,
    ) -> Result<u64, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = lock(&tx, exam, None).await?; // a caller at the same time waits, and finds nothing left
                let fresh = result::Column::ExamId.eq(exam.0).and(result::Column::PublishedAt.is_null());
                if result::Entity::find().filter(fresh).limit(1).count(&tx).await? == 0 {
                    return Ok(0);
                }
                let backend = tx.get_database_backend();
                let (object, user, fresh) = match backend {
                    // One statement sees one moment: a result committed meanwhile is not marked without a mail.
                    DbBackend::Postgres => (
                        "jsonb_build_object",
                        "user_id",
                        "UPDATE results SET published_at = $4 WHERE exam_id = $5 AND published_at IS NULL \
                         RETURNING id, exam_id, user_id, score, max_score, percent, passed, graded_at",
                    ),
                    _ => ("json_object", "hex(user_id)", "SELECT * FROM results WHERE exam_id = $5 AND published_at IS NULL"),
                };
                // The mail's id is the result's: so it cannot be mailed twice.
                let sql = format!(
                    "WITH fresh AS ({fresh}) \
                     INSERT INTO mail_outbox (id, class, template, recipient, params, sealed, priority, run_at, created_at, trace) \
                     SELECT id, 'result', $1, email, {object}('name', name, 'exam', title, 'score', score, \
                     'maxScore', max_score, 'percent', percent, 'passed', CASE WHEN passed THEN 'yes' ELSE 'no' END, 'gradedAt', graded_at, 'user', {user}, \
                     'locale', locale), $2, $3, $4, $4, $6 \
                     FROM (SELECT r.*, u.email, u.name, u.locale, e.title, \
                     ROW_NUMBER() OVER (PARTITION BY r.user_id ORDER BY r.percent DESC, r.id DESC) AS place \
                     FROM fresh r JOIN users u ON u.id = r.user_id JOIN exams e ON e.id = r.exam_id \
                     WHERE u.results_unsubscribed_at IS NULL) new WHERE place = 1"
                );
                let values: [Value; 6] = [
                    template.into(),
                    Vec::<u8>::new().into(),
                    i32::from(Priority::LOWEST.level()).into(),
                    now.as_millis().into(),
                    exam.0.into(),
                    trace.clone().into(),
                ];
                let queued = tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected();
                if backend == DbBackend::Sqlite {
                    result::Entity::update_many()
                        .col_expr(result::Column::PublishedAt, Expr::value(now.as_millis()))
                        .filter(result::Column::ExamId.eq(exam.0).and(result::Column::PublishedAt.is_null()))
                        .exec(&tx)
                        .await?;
                }
                let changed = show(&tx, row, now).await?;
                audit::write(&tx, Entry::of_exam(by, "publish results", exam).affecting(queued), now).await?;
                self.db.commit(tx, &[changed], now).await?;
                Ok(queued)
            })
            .await
    }
}

/// Notes on the exam that the results are published which there are: from now on their students see them.
async fn show(tx: &DatabaseTransaction, exam: exam::Model, now: Timestamp) -> Result<Change, Error> {
    let (id, version) = (ExamId(exam.id), exam.version + 1);
    // By the clock of whichever process has graded it, the last of them may be from after `now`.
    let last = result::Entity::find().filter(result::Column::ExamId.eq(id.0));
    let last = last.select_only().column_as(result::Column::GradedAt.max(), "last").into_tuple::<Option<i64>>();
    let last = last.one(tx).await?.flatten().unwrap_or(i64::MIN);
    let mut exam = exam.into_active_model();
    exam.results_published_at = Set(Some(Ord::max(now.as_millis(), last)));
    exam.version = Set(version);
    exam.updated_at = Set(now.as_millis());
    exam.update(tx).await?;
    Ok(Change::Exam { exam: id, questions: question_ids(tx, id).await? })
}

fn in_order(exam: ExamId, page: Page) -> Select<result::Entity> {
    let found = result::Entity::find()
        .filter(result::Column::ExamId.eq(exam.0))
        .order_by_asc(result::Column::Id)
        .limit(page.fetch());
    match page.after {
        Some(after) => found.filter(result::Column::Id.gt(after)),
        None => found,
    }
}

pub(crate) fn to_result(row: &result::Model) -> ExamResult {
    ExamResult {
        id: ResultId(row.id),
        exam_id: ExamId(row.exam_id),
        attempt_id: AttemptId(row.attempt_id),
        user_id: UserId(row.user_id),
        score: row.score,
        max_score: row.max_score,
        percent: row.percent,
        passed: row.passed,
        graded_at: Timestamp::from_millis(row.graded_at),
        regraded_at: row.regraded_at.map(Timestamp::from_millis),
    }
}
