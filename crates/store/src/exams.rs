//! Exams and their questions.

pub(crate) mod row;

use std::time::Duration;

use examhall_core::{
    Change, Exam, ExamId, ExamStatus, Patch, Question, QuestionSheet, Role, Timestamp, UserId, Viewer,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, ExprTrait,
    IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use self::row::{apply, lock, to_exam, to_i32};
use crate::{
    Error, FirstAnswer, IdempotentRequest, Listed, Page, Versioned,
    db::Db,
    entity::{attempt, exam, question},
    questions::row as question_row,
};

/// Exams and their questions.
#[derive(Clone, Debug)]
pub struct Exams {
    db: Db,
}

/// An exam to be made, with its questions in order.
#[derive(Clone, Debug)]
pub struct NewExam {
    /// Whose it is.
    pub author_id: UserId,
    /// Title.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// Time that a student has, in minutes.
    pub duration_minutes: u32,
    /// How often a student may sit it.
    pub max_attempts: u32,
    /// Percentage of the points from which it is passed.
    pub pass_mark: u8,
    /// From then on students may start.
    pub opens_at: Option<Timestamp>,
    /// From then on nobody may start.
    pub closes_at: Option<Timestamp>,
    /// Whether each attempt has an order of its own.
    pub shuffle: bool,
    /// How far it has come.
    pub status: ExamStatus,
    /// How each question is asked, what it is worth, and its key.
    pub questions: Vec<Question>,
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

    /// Makes an exam with its questions.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn create(&self, new: &NewExam, now: Timestamp) -> Result<Versioned<Exam>, Error> {
        self.db.retry(|| self.create_once(new, now)).await
    }

    async fn create_once(&self, new: &NewExam, now: Timestamp) -> Result<Versioned<Exam>, Error> {
        let tx = self.db.begin().await?;
        let made = insert(&tx, new, now).await?;
        tx.commit().await?; // its id is new: nobody has asked for it, so nothing is cached
        Ok(made)
    }

    /// Makes an exam with its questions, once for all repetitions of `request`; returns the answer to the first.
    ///
    /// # Errors
    /// [`Error::KeyReused`], [`Error::Unavailable`].
    pub async fn create_idempotent(
        &self,
        new: &NewExam,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<FirstAnswer, Error> {
        self.db.retry(|| self.create_idempotent_once(new, request, now)).await
    }

    async fn create_idempotent_once(
        &self,
        new: &NewExam,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<FirstAnswer, Error> {
        let tx = self.db.begin().await?;
        if let Some(first) = request.reserve(&tx, now).await? {
            return Ok(first);
        }
        let made = insert(&tx, new, now).await?;
        let first = FirstAnswer::new(made.value.id.0, made.version, serde_json::to_string(&made.value))?;
        request.store(&tx, &first).await?;
        tx.commit().await?;
        Ok(first)
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
        self.db.retry(|| self.change_once(id, change, expected, now)).await
    }

    async fn change_once(
        &self,
        id: ExamId,
        change: &ExamChange,
        expected: Option<i64>,
        now: Timestamp,
    ) -> Result<Versioned<Exam>, Error> {
        let tx = self.db.begin().await?;
        let row = lock(&tx, id, expected).await?;
        let version = row.version + 1;
        let mut changed = row.into_active_model();
        apply(&mut changed, change);
        changed.version = Set(version);
        changed.updated_at = Set(now.as_millis());
        let row = changed.update(&tx).await?;
        let changed = to_exam(row)?; // what is committed can be answered
        let stale = [changed_with_questions(&tx, id).await?];
        self.db.commit(tx, &stale, now).await?;
        Ok(changed)
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
        self.db.retry(|| self.advance_once(id, to, expected, now)).await
    }

    async fn advance_once(
        &self,
        id: ExamId,
        to: ExamStatus,
        expected: Option<i64>,
        now: Timestamp,
    ) -> Result<Versioned<Exam>, Error> {
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
        changed.version = Set(version + 1);
        changed.updated_at = Set(now.as_millis());
        let row = changed.update(&tx).await?;
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
        self.db.retry(|| self.delete_once(id, expected, now)).await
    }

    async fn delete_once(&self, id: ExamId, expected: Option<i64>, now: Timestamp) -> Result<(), Error> {
        let tx = self.db.begin().await?;
        lock(&tx, id, expected).await?;
        if attempt::Entity::find().filter(attempt::Column::ExamId.eq(id.0)).limit(1).count(&tx).await? > 0 {
            return Err(Error::WrongState("students have begun this exam: close it instead"));
        }
        let stale = [changed_with_questions(&tx, id).await?];
        exam::Entity::delete_by_id(id.0).exec(&tx).await?;
        self.db.commit(tx, &stale, now).await
    }
}

async fn insert(tx: &DatabaseTransaction, new: &NewExam, now: Timestamp) -> Result<Versioned<Exam>, Error> {
    let id = ExamId(Uuid::now_v7());
    let row = exam::ActiveModel {
        id: Set(id.0),
        author_id: Set(new.author_id.0),
        title: Set(new.title.clone()),
        description: Set(new.description.clone()),
        duration_minutes: Set(to_i32(new.duration_minutes)),
        max_attempts: Set(to_i32(new.max_attempts)),
        pass_mark: Set(i32::from(new.pass_mark)),
        opens_at: Set(new.opens_at.map(Timestamp::as_millis)),
        closes_at: Set(new.closes_at.map(Timestamp::as_millis)),
        shuffle: Set(new.shuffle),
        status: Set(new.status.as_str().to_owned()),
        version: Set(1),
        created_at: Set(now.as_millis()),
        updated_at: Set(now.as_millis()),
    };
    let row = row.insert(tx).await?;
    question_row::insert(tx, id, 0, &new.questions).await?;
    to_exam(row) // what is committed can be answered
}

/// A change of an exam and of the questions that it has now.
async fn changed_with_questions(tx: &DatabaseTransaction, exam: ExamId) -> Result<Change, Error> {
    Ok(Change::Exam { exam, questions: question_row::ids(tx, exam).await? })
}
