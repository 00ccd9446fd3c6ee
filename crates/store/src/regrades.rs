//! Grading again: after an answer key, points or the pass mark have changed, all results of an exam are graded with what is
//! right now.
//!
//! A regrade is a row that any process works on, a batch in each transaction (a resumable background job): its cursor, the
//! changed results, their former values and the mails about them are committed together. What a killed process was at is
//! rolled back, and another goes on from the cursor. If the exam is changed meanwhile, the regrade begins at its first attempt again.

mod row;
mod step;

use examhall_core::{ExamId, ExamResult, Mark, RegradeCounts, RegradeId, ResultId, Timestamp};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde_json::{Value, json};
use uuid::Uuid;

pub use self::step::{RegradeStep, Regrading};
use crate::{
    Editor, Error, Listed, Page, PreparedPaper,
    audit::{self, Entry},
    db::Db,
    entity::{former_result, regrade, result},
    exams::row::lock,
};

/// Grading again.
#[derive(Clone, Debug)]
pub struct Regrades {
    db: Db,
}

/// How far an exam's results are graded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regrade {
    /// The regrade.
    pub id: RegradeId,
    /// The exam.
    pub exam_id: ExamId,
    /// The exam's version whose key counts.
    pub exam_version: i64,
    /// How many results there were when it was begun.
    pub total: u64,
    /// How many of them were graded with this key.
    pub graded: u64,
    /// What has changed, also by an earlier key of this regrade.
    pub counts: RegradeCounts,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When all was graded.
    pub finished_at: Option<Timestamp>,
}

/// What grading again would change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegradePreview {
    /// How many results there are.
    pub results: u64,
    /// How they would change.
    pub counts: RegradeCounts,
    /// The first of them that would.
    pub examples: Vec<ChangedResult>,
}

/// A result with what it would be, or is now.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedResult {
    /// The student's name.
    pub name: String,
    /// As it was.
    pub before: ExamResult,
    /// As it is after that.
    pub after: ExamResult,
}

/// What a result was before it was graded again.
#[derive(Clone, Debug, PartialEq)]
pub struct FormerResult {
    /// Its row.
    pub id: Uuid,
    /// The regrade that has replaced it.
    pub regrade_id: RegradeId,
    /// Points earned.
    pub score: f64,
    /// Points that could be earned.
    pub max_score: f64,
    /// `score` of `max_score`, 0 to 100.
    pub percent: f64,
    /// Whether `percent` reached the pass mark.
    pub passed: bool,
    /// The points of each question.
    pub marks: Vec<Mark>,
    /// When it was graded.
    pub graded_at: Timestamp,
    /// When it was replaced.
    pub replaced_at: Timestamp,
}

/// Changed results that a preview names.
const EXAMPLES: usize = 20;
/// Results that a preview reads at a time.
const CHUNK: u64 = 100;

impl Regrades {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Begins to grade an exam's results again. Returns the regrade that is running, if one is: it takes the exam's key as it
    /// is now.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`], [`Error::Unavailable`].
    pub async fn begin(&self, exam: ExamId, editor: Editor, now: Timestamp) -> Result<Regrade, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let version = lock(&tx, exam, editor.expected).await?.version;
                let of_exam = regrade::Column::ExamId.eq(exam.0).and(regrade::Column::FinishedAt.is_null());
                if let Some(running) = regrade::Entity::find().filter(of_exam).one(&tx).await? {
                    return to_regrade(&running);
                }
                let total = result::Entity::find().filter(result::Column::ExamId.eq(exam.0)).count(&tx).await?;
                let row = regrade::ActiveModel {
                    id: Set(Uuid::now_v7()),
                    exam_id: Set(exam.0),
                    user_id: Set(editor.user.0),
                    exam_version: Set(version),
                    position: Set(None),
                    total: Set(i64::try_from(total).unwrap_or(i64::MAX)),
                    graded: Set(0),
                    counts: Set(json!(RegradeCounts::default())),
                    changed: Set(0),
                    created_at: Set(now.as_millis()),
                    finished_at: Set(None),
                };
                let row = row.insert(&tx).await?;
                let after = json!({"version": version, "results": total});
                let entry = Entry::of_exam(editor.user, "regrade", exam).changing(Value::Null, after);
                audit::write(&tx, entry.affecting(total), now).await?;
                tx.commit().await?;
                to_regrade(&row)
            })
            .await
    }

    /// The regrade of an exam that was begun last.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there was none, [`Error::Unavailable`].
    pub async fn last(&self, exam: ExamId) -> Result<Regrade, Error> {
        let of_exam = regrade::Entity::find().filter(regrade::Column::ExamId.eq(exam.0));
        let last = of_exam.order_by_desc(regrade::Column::Id).limit(1).one(&self.db.read).await?;
        to_regrade(&last.ok_or(Error::NotFound)?)
    }

    /// What grading an exam's results again with this key would change. It grades them all, which takes long: for a thread
    /// that may block.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn preview(&self, paper: &PreparedPaper, now: Timestamp) -> Result<RegradePreview, Error> {
        let (mut preview, mut after) = (RegradePreview::default(), Uuid::nil());
        loop {
            let rows = row::read(&self.db.read, paper.exam.id, after..=Uuid::max(), CHUNK).await?;
            for row in &rows {
                preview.results += 1;
                let Some(changed) = row.grade(paper, &mut preview.counts, now) else { continue };
                if preview.examples.len() < EXAMPLES {
                    let after = ExamResult { regraded_at: row.result().regraded_at, ..changed.result };
                    preview.examples.push(ChangedResult { name: row.name(), before: row.result(), after });
                }
            }
            let Some(last) = rows.last().filter(|_| rows.len() as u64 >= CHUNK) else { return Ok(preview) };
            after = last.attempt_id;
        }
    }

    /// What a result was before it was graded again, each time, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn former(&self, id: ResultId, page: Page) -> Result<Listed<FormerResult>, Error> {
        let mut found = former_result::Entity::find()
            .filter(former_result::Column::ResultId.eq(id.0))
            .order_by_asc(former_result::Column::Id)
            .limit(page.fetch());
        if let Some(after) = page.after {
            found = found.filter(former_result::Column::Id.gt(after));
        }
        let rows = found.all(&self.db.read).await?.into_iter().map(to_former).collect::<Result<_, _>>()?;
        Ok(page.cut(rows, |row: &FormerResult| row.id))
    }
}

fn to_regrade(row: &regrade::Model) -> Result<Regrade, Error> {
    let counts = serde_json::from_value(row.counts.clone());
    Ok(Regrade {
        id: RegradeId(row.id),
        exam_id: ExamId(row.exam_id),
        exam_version: row.exam_version,
        total: u64::try_from(row.total).unwrap_or(0),
        graded: u64::try_from(row.graded).unwrap_or(0),
        counts: counts.map_err(|_| Error::Corrupt { table: "regrades", column: "counts" })?,
        created_at: Timestamp::from_millis(row.created_at),
        finished_at: row.finished_at.map(Timestamp::from_millis),
    })
}

fn to_former(row: former_result::Model) -> Result<FormerResult, Error> {
    let marks = serde_json::from_value(row.marks);
    Ok(FormerResult {
        id: row.id,
        regrade_id: RegradeId(row.regrade_id),
        score: row.score,
        max_score: row.max_score,
        percent: row.percent,
        passed: row.passed,
        marks: marks.map_err(|_| Error::Corrupt { table: "former_results", column: "marks" })?,
        graded_at: Timestamp::from_millis(row.graded_at),
        replaced_at: Timestamp::from_millis(row.replaced_at),
    })
}
