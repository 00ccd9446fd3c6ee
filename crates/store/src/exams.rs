//! Exams and their questions.

mod create;
pub(crate) mod row;

use std::time::Duration;

use examhall_core::{Change, Exam, ExamId, ExamStatus, Patch, QuestionSheet, Role, Timestamp, Viewer};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, ExprTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

pub use self::create::NewExam;
use self::row::{apply, lock, to_exam};
use crate::{
    Error, Listed, Page, Versioned,
    db::Db,
    entity::{attempt, exam, question},
    questions::row as question_row,
};

/// Exams and their questions.
#[derive(Clone, Debug)]
pub struct Exams {
    db: Db,
}

/// What to change of an exam; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExamChange {
    /// Title.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Time that a student has, in minutes.
    pub duration_minutes: Option<u32>,
    /// How often a student may sit it.
    pub max_attempts: Option<u32>,
    /// Percentage of the points from which it is passed.
    pub pass_mark: Option<u8>,
    /// From then on students may start.
    pub opens_at: Patch<Timestamp>,
    /// From then on nobody may start.
    pub closes_at: Patch<Timestamp>,
    /// Whether each attempt has an order of its own.
    pub shuffle: Option<bool>,
}

impl Exams {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// The exams that `viewer` may see, newest first: all for admins, else their own and what is no draft.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(&self, viewer: Viewer, page: Page) -> Result<Listed<Exam>, Error> {
        let mut found = exam::Entity::find().order_by_desc(exam::Column::Id).limit(page.fetch());
        if viewer.role != Role::Admin {
            let is_no_draft = exam::Column::Status.ne(ExamStatus::Draft.as_str());
            found = found.filter(Condition::any().add(is_no_draft).add(exam::Column::AuthorId.eq(viewer.id.0)));
        }
        if let Some(after) = page.after {
            found = found.filter(exam::Column::Id.lt(after));
        }
        let rows = found.all(&self.db.read).await?;
        let Listed { items, next } = page.cut(rows, |row: &exam::Model| row.id);
        // One that cannot be read must not take the others down.
        let readable = |row: exam::Model| {
            let id = row.id;
            let exam =
                to_exam(row).inspect_err(|error| tracing::error!(exam_id = %id, %error, "Exam left out of a list"));
            exam.ok().map(|exam| exam.value)
        };
        Ok(Listed { items: items.into_iter().filter_map(readable).collect(), next })
    }

    /// An exam without its questions.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn get(&self, id: ExamId) -> Result<Versioned<Exam>, Error> {
        let row = exam::Entity::find_by_id(id.0).one(&self.db.read).await?.ok_or(Error::NotFound)?;
        to_exam(row)
    }

    /// Published exams that open within `span` from now: id, and when.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn opening_within(&self, span: Duration, now: Timestamp) -> Result<Vec<(ExamId, Timestamp)>, Error> {
        let soon = exam::Column::OpensAt.gt(now.as_millis()).and(exam::Column::OpensAt.lte(now.plus(span).as_millis()));
        let published = exam::Column::Status.eq(ExamStatus::Published.as_str());
        let rows = exam::Entity::find().filter(soon.and(published)).all(&self.db.read).await?;
        Ok(rows.into_iter().filter_map(|row| Some((ExamId(row.id), Timestamp::from_millis(row.opens_at?)))).collect())
    }

    /// The published exams that open next, soonest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn opening_next(&self, limit: u64, now: Timestamp) -> Result<Vec<Exam>, Error> {
        let soon = exam::Column::OpensAt.gt(now.as_millis());
        let published = exam::Column::Status.eq(ExamStatus::Published.as_str());
        let found = exam::Entity::find().filter(soon.and(published)).order_by_asc(exam::Column::OpensAt).limit(limit);
        found.all(&self.db.read).await?.into_iter().map(|row| Ok(to_exam(row)?.value)).collect()
    }

    /// An exam with its question sheet as students see it, read in one statement, so both are of one moment.
    ///
    /// Counted in `store_loads_total{what="sheet"}`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn sheet(&self, id: ExamId) -> Result<(Exam, QuestionSheet), Error> {
        metrics::counter!("store_loads_total", "what" => "sheet").increment(1);
        let (exam, questions) = question_row::read_with_questions(&self.db.read, id).await?;
        let Versioned { version, value: exam } = to_exam(exam)?;
        let questions = questions
            .into_iter()
            .map(|row| Ok(question_row::to_question(row)?.for_student()))
            .collect::<Result<_, Error>>()?;
        Ok((exam, QuestionSheet { exam_id: id, version, questions }))
    }

    /// Changes an exam, if it is at `expected` where that is given; returns it as it is then.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`], [`Error::Unavailable`].
    pub async fn change(
        &self,
        id: ExamId,
        change: &ExamChange,
        expected: Option<i64>,
        now: Timestamp,
    ) -> Result<Versioned<Exam>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = lock(&tx, id, expected).await?;
                let version = row.version;
                let mut changed = row.into_active_model();
                apply(&mut changed, change);
                self.save(tx, changed, version, now).await
            })
            .await
    }

    /// Takes an exam a step on: publishes a draft that has questions, or closes what is published. Where it has come
    /// that far already, nothing changes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`], [`Error::WrongState`], [`Error::Unavailable`].
    pub async fn advance(
        &self,
        id: ExamId,
        to: ExamStatus,
        expected: Option<i64>,
        now: Timestamp,
    ) -> Result<Versioned<Exam>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = lock(&tx, id, expected).await?;
                let Versioned { version, value: Exam { status, .. } } = to_exam(row.clone())?;
                match (status, to) {
                    (from, to) if from == to => return to_exam(row),
                    (ExamStatus::Draft, ExamStatus::Published) => {
                        let of_exam = question::Column::ExamId.eq(id.0);
                        if question::Entity::find().filter(of_exam).count(&tx).await? == 0 {
                            return Err(Error::WrongState("the exam has no questions yet"));
                        }
                    }
                    (ExamStatus::Published, ExamStatus::Closed) => {}
                    (ExamStatus::Closed, _) => return Err(Error::WrongState("the exam is closed")),
                    _ => return Err(Error::WrongState("the exam is not published")),
                }
                let mut changed = row.into_active_model();
                changed.status = Set(to.as_str().to_owned());
                self.save(tx, changed, version, now).await
            })
            .await
    }

    /// Writes a changed row as the version after `version`, and commits.
    async fn save(
        &self,
        tx: DatabaseTransaction,
        mut changed: exam::ActiveModel,
        version: i64,
        now: Timestamp,
    ) -> Result<Versioned<Exam>, Error> {
        changed.version = Set(version + 1);
        changed.updated_at = Set(now.as_millis());
        let row = changed.update(&tx).await?;
        let id = ExamId(row.id);
        let changed = to_exam(row)?; // what is committed can be answered
        let stale = [changed_with_questions(&tx, id).await?];
        self.db.commit(tx, &stale, now).await?;
        Ok(changed)
    }

    /// Deletes an exam that nobody has begun, with its questions.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`], [`Error::WrongState`], [`Error::Unavailable`].
    pub async fn delete(&self, id: ExamId, expected: Option<i64>, now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                lock(&tx, id, expected).await?;
                if attempt::Entity::find().filter(attempt::Column::ExamId.eq(id.0)).limit(1).count(&tx).await? > 0 {
                    return Err(Error::WrongState("students have begun this exam: close it instead"));
                }
                let stale = [changed_with_questions(&tx, id).await?];
                exam::Entity::delete_by_id(id.0).exec(&tx).await?;
                self.db.commit(tx, &stale, now).await
            })
            .await
    }
}

/// A change of an exam and of the questions that it has now.
async fn changed_with_questions(tx: &DatabaseTransaction, exam: ExamId) -> Result<Change, Error> {
    Ok(Change::Exam { exam, questions: question_row::ids(tx, exam).await? })
}
