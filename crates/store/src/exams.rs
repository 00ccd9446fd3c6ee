//! Exams and their questions.

mod change;
mod create;
mod lifecycle;
mod list;
pub(crate) mod row;

use std::time::Duration;

use examhall_core::{Change, Exam, ExamId, ExamStatus, QuestionSheet, Timestamp};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use serde_json::{Value, json};

use self::row::{is_begun, lock, to_exam};
pub use self::{
    create::NewExam,
    lifecycle::Closed,
    list::{ExamFilter, ExamSort},
    row::ExamChange,
};
use crate::{
    Editor, Error, Versioned,
    audit::{self, Entry},
    db::Db,
    entity::exam,
    questions::row as question_row,
};

/// Exams and their questions.
#[derive(Clone, Debug)]
pub struct Exams {
    db: Db,
}

impl Exams {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    pub(crate) const fn db(&self) -> &Db {
        &self.db
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

    /// Writes a changed row as the version after `version`, with what is recorded of it, and commits.
    async fn save(
        &self,
        tx: DatabaseTransaction,
        mut changed: exam::ActiveModel,
        version: i64,
        entry: Option<Entry>,
        now: Timestamp,
    ) -> Result<Versioned<Exam>, Error> {
        changed.version = Set(version + 1);
        changed.updated_at = Set(now.as_millis());
        let row = changed.update(&tx).await?;
        let id = ExamId(row.id);
        let changed = to_exam(row)?; // what is committed can be answered
        if let Some(entry) = entry {
            audit::write(&tx, entry, now).await?;
        }
        let stale = [changed_with_questions(&tx, id).await?];
        self.db.commit(tx, &stale, now).await?;
        Ok(changed)
    }

    /// Deletes an exam that nobody has begun, with its questions.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`], [`Error::WrongState`], [`Error::Unavailable`].
    pub async fn delete(&self, id: ExamId, editor: Editor, now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = lock(&tx, id, editor.expected).await?;
                if is_begun(&tx, id).await? {
                    return Err(Error::WrongState("students have begun this exam: close it instead"));
                }
                let stale = [changed_with_questions(&tx, id).await?];
                exam::Entity::delete_by_id(id.0).exec(&tx).await?;
                let before = json!({"title": row.title, "status": row.status});
                let entry = Entry::of_exam(editor.user, "delete exam", id).changing(before, Value::Null);
                audit::write(&tx, entry, now).await?;
                self.db.commit(tx, &stale, now).await
            })
            .await
    }
}

/// A change of an exam and of the questions that it has now.
pub(crate) async fn changed_with_questions(tx: &DatabaseTransaction, exam: ExamId) -> Result<Change, Error> {
    Ok(Change::Exam { exam, questions: question_row::ids(tx, exam).await? })
}
