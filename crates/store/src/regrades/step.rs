//! One batch of a regrade, in one transaction.

use examhall_core::{Change, Exam, ExamId, ExamResult, RegradeCounts, ResultId, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, Statement, Value,
    sea_query::{Expr, LockBehavior, LockType},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Regrade, Regrades,
    row::{self, Changed, GradedRow},
    to_regrade,
};
use crate::{
    Error, Grading, NewMail, PreparedPaper, Submission, Versioned,
    audit::{self, Entry},
    entity::{exam, former_result, mail_outbox, regrade, result},
    exams::row::to_exam,
    outbox,
};

/// How results are graded again and reported.
pub trait Regrading: Grading {
    /// The mail that reports a result which was `before` and has changed.
    fn mail_of_change(&self, changed: &Submission, before: &ExamResult) -> NewMail;
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegradeStep {
    /// Nothing is to be graded again, or others are at it.
    Idle,
    /// Nothing was done: the paper of this exam, at this version, must be at hand.
    Needs(ExamId, i64),
    /// How far this regrade has come.
    Done(Regrade),
}

impl Regrades {
    /// Grades up to `limit` attempts again, of the oldest regrade that nobody else is at, other than of the exams in `skip`.
    ///
    /// It waits for attempts that are being submitted, so each result is graded with the new key: by its submission, or here.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn step(
        &self,
        regrading: &impl Regrading,
        skip: &[ExamId],
        limit: u64,
        now: Timestamp,
    ) -> Result<RegradeStep, Error> {
        let is_open = regrade::Entity::find().filter(regrade::Column::FinishedAt.is_null());
        // Asked first: on SQLite a transaction keeps all others from writing.
        if is_open.limit(1).one(&self.db.read).await?.is_none() {
            return Ok(RegradeStep::Idle);
        }
        self.db.retry(|| self.step_once(regrading, skip, limit, now)).await
    }

    async fn step_once(
        &self,
        regrading: &impl Regrading,
        skip: &[ExamId],
        limit: u64,
        now: Timestamp,
    ) -> Result<RegradeStep, Error> {
        let tx = self.db.begin().await?;
        let Some((exam, mut row)) = claim(&tx, skip).await? else { return Ok(RegradeStep::Idle) };
        let Versioned { version, value: exam } = to_exam(exam)?;
        if row.exam_version != version {
            (row.exam_version, row.position, row.graded) = (version, None, 0); // another key: from the beginning
        }
        let Some(paper) = regrading.paper(exam.id, version) else { return Ok(RegradeStep::Needs(exam.id, version)) };
        let from = row.position.unwrap_or_default();
        let attempts = lock_attempts(&tx, exam.id, from, limit).await?;
        let last = attempts.last().copied().unwrap_or(from);
        let rows = row::read(&tx, exam.id, from..=last, limit).await?;
        let batch = Batch { rows: &rows, paper: &paper, regrade: row.id, now };
        let mut counts = to_regrade(&row)?.counts;
        let changed = batch.write(&tx, regrading, &mut counts).await?;
        let is_last = (attempts.len() as u64) < limit;
        let graded = row.graded.saturating_add(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        let regrade = save(&tx, row, Progress { last, graded, counts, is_last }, now).await?;
        if is_last {
            audit::write(&tx, finished(&exam, UserId(regrade.user_id), version, counts), now).await?;
        }
        let regrade = to_regrade(&regrade)?;
        if changed.is_empty() {
            tx.commit().await?;
        } else {
            self.db.commit(tx, &changed, now).await?;
        }
        Ok(RegradeStep::Done(regrade))
    }
}

fn finished(exam: &Exam, by: UserId, version: i64, counts: RegradeCounts) -> Entry {
    let mut after = json!(counts);
    after["version"] = version.into();
    Entry::of_exam(by, "finish regrade", exam.id).changing(serde_json::Value::Null, after).affecting(counts.changed)
}

/// Locks the oldest regrade that nobody is at, with its exam, which nobody changes meanwhile. The exam first, as everything
/// locks that changes both.
async fn claim(tx: &DatabaseTransaction, skip: &[ExamId]) -> Result<Option<(exam::Model, regrade::Model)>, Error> {
    let open = || regrade::Entity::find().filter(regrade::Column::FinishedAt.is_null());
    for candidate in open().order_by_asc(regrade::Column::Id).all(tx).await? {
        if skip.contains(&ExamId(candidate.exam_id)) {
            continue;
        }
        let exam = exam::Entity::find_by_id(candidate.exam_id).lock(LockType::Share).one(tx).await?;
        let found = open().filter(regrade::Column::Id.eq(candidate.id));
        let found = match tx.get_database_backend() {
            DbBackend::Postgres => found.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked),
            _ => found, // one writer, which is us
        };
        if let Some(both) = exam.zip(found.one(tx).await?) {
            return Ok(Some(both));
        }
    }
    Ok(None)
}

/// Locks the next attempts at an exam, open ones too: what is being submitted has its result once they are locked.
async fn lock_attempts(tx: &DatabaseTransaction, exam: ExamId, from: Uuid, limit: u64) -> Result<Vec<Uuid>, Error> {
    let backend = tx.get_database_backend();
    let lock = if backend == DbBackend::Postgres { "FOR SHARE" } else { "" };
    let sql = format!("SELECT id FROM attempts WHERE exam_id = $1 AND id > $2 ORDER BY id LIMIT $3 {lock}");
    let values: [Value; 3] = [exam.0.into(), from.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    let rows = tx.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
}

/// Results that are graded again.
struct Batch<'a> {
    rows: &'a [GradedRow],
    paper: &'a PreparedPaper,
    regrade: Uuid,
    now: Timestamp,
}

impl Batch<'_> {
    /// Writes what has changed, what it was before, and the mails; returns what is stale then.
    async fn write(
        &self,
        tx: &DatabaseTransaction,
        regrading: &impl Regrading,
        counts: &mut RegradeCounts,
    ) -> Result<Vec<Change>, Error> {
        let (mut stale, mut former, mut mails) = (Vec::new(), Vec::new(), Vec::new());
        for row in self.rows {
            let Some(changed) = row.grade(self.paper, counts, self.now) else { continue };
            former.push(self.former(row));
            mails.extend(
                changed
                    .mail
                    .as_ref()
                    .map(|mail| outbox::to_row(&regrading.mail_of_change(mail, &row.result()), self.now)),
            );
            replace(tx, row, &changed, self.now).await?;
            stale.push(Change::Result(changed.result.id));
        }
        if !former.is_empty() {
            former_result::Entity::insert_many(former).exec_without_returning(tx).await?;
        }
        if !mails.is_empty() {
            mail_outbox::Entity::insert_many(mails).exec_without_returning(tx).await?;
        }
        Ok(stale)
    }

    fn former(&self, row: &GradedRow) -> former_result::ActiveModel {
        let before = row.result();
        former_result::ActiveModel {
            id: Set(Uuid::now_v7()),
            result_id: Set(before.id.0),
            regrade_id: Set(self.regrade),
            score: Set(before.score),
            max_score: Set(before.max_score),
            percent: Set(before.percent),
            passed: Set(before.passed),
            marks: Set(row.marks()),
            graded_at: Set(before.regraded_at.unwrap_or(before.graded_at).as_millis()),
            replaced_at: Set(self.now.as_millis()),
        }
    }
}

async fn replace(tx: &DatabaseTransaction, row: &GradedRow, changed: &Changed, now: Timestamp) -> Result<(), Error> {
    use result::Column;
    let ResultId(id) = changed.result.id;
    let marks = serde_json::to_value(&changed.marks);
    let marks = marks.map_err(|_| Error::Corrupt { table: "results", column: "marks" })?;
    result::Entity::update_many()
        .col_expr(Column::Score, Expr::value(changed.result.score))
        .col_expr(Column::MaxScore, Expr::value(changed.result.max_score))
        .col_expr(Column::Percent, Expr::value(changed.result.percent))
        .col_expr(Column::Passed, Expr::value(changed.result.passed))
        .col_expr(Column::Marks, Expr::value(marks))
        .col_expr(Column::RegradedAt, Expr::value(now.as_millis()))
        .col_expr(Column::Version, Expr::value(row.version + 1))
        .filter(Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// How far a regrade has come.
struct Progress {
    last: Uuid,
    graded: i64,
    counts: RegradeCounts,
    is_last: bool,
}

async fn save(
    tx: &DatabaseTransaction,
    row: regrade::Model,
    progress: Progress,
    now: Timestamp,
) -> Result<regrade::Model, Error> {
    let version = row.exam_version;
    let mut row = row.into_active_model();
    row.exam_version = Set(version);
    row.position = Set(Some(progress.last));
    row.graded = Set(progress.graded);
    row.counts = Set(json!(progress.counts));
    row.changed = Set(i64::try_from(progress.counts.changed).unwrap_or(i64::MAX));
    row.finished_at = Set(progress.is_last.then(|| now.as_millis()));
    Ok(row.update(tx).await?)
}
