//! The questions of an exam, with their answer keys.

pub(crate) mod row;

use examhall_core::{AnswerKey, Change, Exam, ExamId, Question, QuestionId, StudentQuestion, Timestamp};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder, sea_query::Expr,
};
use serde_json::{Value, json};

use self::row::{ids, insert, read_with_questions, to_json, to_question};
use crate::{
    Editor, Error, FirstAnswer, IdempotentRequest, Versioned,
    audit::{self, Entry},
    db::Db,
    entity::{exam, question},
    exams::row::{is_begun, lock, to_exam},
};

/// The questions of an exam.
#[derive(Clone, Debug)]
pub struct Questions {
    db: Db,
}

/// An exam with its questions and their answer keys: never for a student.
#[derive(Clone, Debug, PartialEq)]
pub struct Paper {
    /// The exam.
    pub exam: Exam,
    /// Its questions in order.
    pub questions: Vec<Question>,
}

/// An exam with its answer key, ready to grade: never for a student.
#[derive(Debug)]
pub struct PreparedPaper {
    /// The exam.
    pub exam: Exam,
    /// The version that it was read at: the key of another one grades nothing.
    pub version: i64,
    /// The key.
    pub key: AnswerKey,
}

impl From<Versioned<Paper>> for PreparedPaper {
    fn from(paper: Versioned<Paper>) -> Self {
        let Versioned { version, value: Paper { exam, questions } } = paper;
        Self { exam, version, key: AnswerKey::new(&questions) }
    }
}

/// A change of an exam's questions.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// These and no others, in this order.
    Replace(Vec<Question>),
    /// One more, at the end.
    Add(Question),
    /// The one of this id becomes this.
    Change(Question),
    /// One less.
    Remove(QuestionId),
}

/// What a change of questions did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The exam's version after it.
    pub version: i64,
    /// Every question that was there before or is there now and may have changed.
    pub touched: Vec<QuestionId>,
}

impl Edit {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Replace(_) => "replace questions",
            Self::Add(_) => "add questions",
            Self::Change(_) => "change questions",
            Self::Remove(_) => "remove questions",
        }
    }
}

impl Questions {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// An exam with its questions and keys, read in one statement.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn paper(&self, exam: ExamId) -> Result<Versioned<Paper>, Error> {
        let (exam, questions) = read_with_questions(&self.db.read, exam).await?;
        let Versioned { version, value: exam } = to_exam(exam)?;
        let questions = questions.into_iter().map(to_question).collect::<Result<_, _>>()?;
        Ok(Versioned { version, value: Paper { exam, questions } })
    }

    /// A question with its key, and its exam. The version is the exam's.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn get(&self, id: QuestionId) -> Result<Versioned<(Exam, Question)>, Error> {
        let found = question::Entity::find_by_id(id.0).find_also_related(exam::Entity).one(&self.db.read).await?;
        let (question, exam) = found.ok_or(Error::NotFound)?;
        let Versioned { version, value: exam } = to_exam(exam.ok_or(Error::NotFound)?)?;
        Ok(Versioned { version, value: (exam, to_question(question)?) })
    }

    /// A question as students see it, and its exam.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn student_view(&self, id: QuestionId) -> Result<Versioned<(Exam, StudentQuestion)>, Error> {
        metrics::counter!("store_loads_total", "what" => "question").increment(1);
        let Versioned { version, value: (exam, question) } = self.get(id).await?;
        Ok(Versioned { version, value: (exam, question.for_student()) })
    }

    /// Changes the questions of an exam.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`], [`Error::QuestionsLocked`] once students have begun,
    /// [`Error::IdTaken`] where a new question has the id of another exam's, [`Error::Unavailable`].
    pub async fn edit(&self, exam: ExamId, edit: Edit, editor: Editor, now: Timestamp) -> Result<Edited, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let (edited, change) = edit_within(&tx, exam, edit.clone(), editor, now).await?;
                self.db.commit(tx, &[change], now).await?;
                Ok(edited)
            })
            .await
    }

    /// Adds a question at the end, once for all repetitions of `request`; returns the answer to the first.
    ///
    /// # Errors
    /// [`Error::KeyReused`], and as [`edit`](Self::edit).
    pub async fn add_idempotent(
        &self,
        exam: ExamId,
        question: &Question,
        editor: Editor,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<FirstAnswer, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                // Before the version is compared: the request's own first run has raised it.
                if let Some(first) = request.reserve(&tx, now).await? {
                    return Ok(first);
                }
                let (edited, change) = edit_within(&tx, exam, Edit::Add(question.clone()), editor, now).await?;
                let first = FirstAnswer::new(question.id.0, edited.version, serde_json::to_string(question))?;
                request.store(&tx, &first).await?;
                self.db.commit(tx, &[change], now).await?;
                Ok(first)
            })
            .await
    }

    /// The questions that an exam has.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ids(&self, exam: ExamId) -> Result<Vec<QuestionId>, Error> {
        ids(&self.db.read, exam).await
    }
}

/// Changes questions within a transaction; returns what that makes stale, too.
async fn edit_within(
    tx: &DatabaseTransaction,
    exam: ExamId,
    edit: Edit,
    editor: Editor,
    now: Timestamp,
) -> Result<(Edited, Change), Error> {
    let row = lock(tx, exam, editor.expected).await?;
    let is_forced = is_begun(tx, exam).await?;
    if is_forced && !editor.force {
        return Err(Error::QuestionsLocked);
    }
    let version = row.version + 1;
    let before = keyed(tx, exam, &edit, is_forced).await?;
    let entry = Entry::of_exam(editor.user, edit.as_str(), exam).changing(before, after(&edit, version, is_forced));
    let touched = apply(tx, exam, edit).await?;
    exam::Entity::update_many()
        .col_expr(exam::Column::Version, Expr::value(version))
        .col_expr(exam::Column::UpdatedAt, Expr::value(now.as_millis()))
        .filter(exam::Column::Id.eq(exam.0))
        .exec(tx)
        .await?;
    audit::write(tx, entry, now).await?;
    let mut questions = ids(tx, exam).await?;
    questions.extend(&touched);
    Ok((Edited { version, touched }, Change::Exam { exam, questions }))
}

async fn apply(tx: &DatabaseTransaction, exam: ExamId, edit: Edit) -> Result<Vec<QuestionId>, Error> {
    let of_exam = question::Column::ExamId.eq(exam.0);
    match edit {
        Edit::Replace(questions) => {
            let old = question::Entity::delete_many().filter(of_exam).exec_with_returning(tx).await?;
            insert(tx, exam, 0, &questions).await?;
            let old = old.into_iter().map(|row| QuestionId(row.id));
            Ok(old.chain(questions.iter().map(|question| question.id)).collect())
        }
        Edit::Add(question) => {
            let last = question::Entity::find().filter(of_exam).order_by_desc(question::Column::Position);
            let next = last.one(tx).await?.map_or(0, |last| last.position.saturating_add(1));
            insert(tx, exam, next, std::slice::from_ref(&question)).await?;
            Ok(vec![question.id])
        }
        Edit::Change(question) => {
            let changed = question::Entity::update_many()
                .col_expr(question::Column::Text, Expr::value(question.text.as_str()))
                .col_expr(question::Column::Points, Expr::value(question.points))
                .col_expr(question::Column::Kind, Expr::value(to_json(&question)?))
                .filter(of_exam.and(question::Column::Id.eq(question.id.0)))
                .exec(tx)
                .await?;
            if changed.rows_affected == 0 { Err(Error::NotFound) } else { Ok(vec![question.id]) }
        }
        Edit::Remove(id) => {
            let filter = of_exam.and(question::Column::Id.eq(id.0));
            let removed = question::Entity::delete_many().filter(filter).exec(tx).await?;
            if removed.rows_affected == 0 { Err(Error::NotFound) } else { Ok(vec![id]) }
        }
    }
}

/// What an edit replaces, for the record: once students have begun, all of it.
async fn keyed(tx: &DatabaseTransaction, exam: ExamId, edit: &Edit, is_forced: bool) -> Result<Value, Error> {
    let found = question::Entity::find().filter(question::Column::ExamId.eq(exam.0));
    let found = match edit {
        Edit::Add(_) => return Ok(Value::Null),
        Edit::Change(Question { id, .. }) | Edit::Remove(id) => found.filter(question::Column::Id.eq(id.0)),
        Edit::Replace(_) if is_forced => found.order_by_asc(question::Column::Position),
        Edit::Replace(_) => return Ok(json!({"count": found.count(tx).await?})),
    };
    let questions = found.all(tx).await?.into_iter().map(to_question).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "questions": questions }))
}

/// What is there after an edit, for the record.
fn after(edit: &Edit, version: i64, is_forced: bool) -> Value {
    let mut after = json!({"version": version, "forced": is_forced});
    match edit {
        Edit::Replace(questions) if is_forced => after["questions"] = json!(questions),
        Edit::Replace(questions) => after["count"] = questions.len().into(),
        Edit::Add(question) | Edit::Change(question) => after["questions"] = json!([question]),
        Edit::Remove(_) => {}
    }
    after
}
