//! The questions of an exam, with their answer keys.

pub(crate) mod row;

use examhall_core::{AnswerKey, Change, Exam, ExamId, Question, QuestionId, StudentQuestion, Timestamp, UserId};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use self::row::{ids, insert, read_with_questions, to_json, to_question};
use crate::{
    Error, FirstAnswer, IdempotentRequest, Versioned,
    db::Db,
    entity::{attempt, exam, forced_change, question},
    exams::row::{lock, to_exam},
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

/// Who changes questions, and how sure they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Editor {
    /// Who.
    pub user: UserId,
    /// Whether they do it though students have begun; that is recorded.
    pub force: bool,
    /// The version that they have seen, if they say so.
    pub expected: Option<i64>,
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
            Self::Replace(_) => "replace",
            Self::Add(_) => "add",
            Self::Change(_) => "change",
            Self::Remove(_) => "remove",
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

    /// How often questions were changed though students had begun.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forced_changes(&self, exam: ExamId) -> Result<u64, Error> {
        let of_exam = forced_change::Column::ExamId.eq(exam.0);
        Ok(forced_change::Entity::find().filter(of_exam).count(&self.db.read).await?)
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
    let begun = attempt::Entity::find().filter(attempt::Column::ExamId.eq(exam.0)).limit(1).count(tx).await? > 0;
    if begun && !editor.force {
        return Err(Error::QuestionsLocked);
    }
    let (version, what) = (row.version + 1, edit.as_str());
    let touched = apply(tx, exam, edit).await?;
    exam::Entity::update_many()
        .col_expr(exam::Column::Version, Expr::value(version))
        .col_expr(exam::Column::UpdatedAt, Expr::value(now.as_millis()))
        .filter(exam::Column::Id.eq(exam.0))
        .exec(tx)
        .await?;
    if begun {
        record(tx, exam, editor.user, what, version, now).await?;
    }
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

async fn record(
    tx: &DatabaseTransaction,
    exam: ExamId,
    user: UserId,
    what: &str,
    version: i64,
    now: Timestamp,
) -> Result<(), Error> {
    let row = forced_change::ActiveModel {
        id: Set(Uuid::now_v7()),
        exam_id: Set(exam.0),
        user_id: Set(user.0),
        what: Set(what.to_owned()),
        version: Set(version),
        at: Set(now.as_millis()),
    };
    forced_change::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}
