//! Exams and their questions.

use std::time::Duration;

use examhall_core::{Change, Exam, ExamId, ExamStatus, Patch, Question, QuestionId, QuestionSheet, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{self, Set},
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::LockType,
};
use uuid::Uuid;

use crate::{
    Error,
    db::Db,
    entity::{exam, question},
};

/// Exams and their questions.
#[derive(Clone, Debug)]
pub struct Exams {
    db: Db,
}

/// A value with the version of the row it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned<T> {
    /// One up with every change.
    pub version: i64,
    /// What was read.
    pub value: T,
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
    pub async fn create(&self, new: &NewExam, now: Timestamp) -> Result<ExamId, Error> {
        let id = ExamId(Uuid::now_v7());
        let tx = self.db.begin().await?;
        let row = exam::ActiveModel {
            id: Set(id.0),
            author_id: Set(new.author_id.0),
            title: Set(new.title.clone()),
            description: Set(new.description.clone()),
            duration_minutes: Set(to_i32(new.duration_minutes)),
            max_attempts: Set(1),
            pass_mark: Set(50),
            opens_at: Set(None),
            closes_at: Set(None),
            shuffle: Set(false),
            status: Set(new.status.as_str().to_owned()),
            version: Set(1),
            created_at: Set(now.as_millis()),
            updated_at: Set(now.as_millis()),
        };
        exam::Entity::insert(row).exec_without_returning(&tx).await?;
        insert_questions(&tx, id, &new.questions).await?;
        tx.commit().await?; // its id is new: nobody has asked for it, so nothing is cached
        Ok(id)
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
        let found = exam::Entity::find_by_id(id.0)
            .find_with_related(question::Entity)
            .order_by_asc(question::Column::Position)
            .all(&self.db.read)
            .await?;
        let (exam, questions) = found.into_iter().next().ok_or(Error::NotFound)?;
        let Versioned { version, value: exam } = to_exam(exam)?;
        let questions =
            questions.into_iter().map(|row| Ok(to_question(row)?.for_student())).collect::<Result<_, Error>>()?;
        Ok((exam, QuestionSheet { exam_id: id, version, questions }))
    }

    /// Changes an exam, if it is at `expected` where that is given; gives it as it is then.
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
        let tx = self.db.begin().await?;
        let row = exam::Entity::find_by_id(id.0).lock(LockType::Update).one(&tx).await?.ok_or(Error::NotFound)?;
        if let Some(expected) = expected
            && expected != row.version
        {
            return Err(Error::VersionMismatch { current: row.version });
        }
        let version = row.version + 1;
        let mut changed = row.into_active_model();
        apply(&mut changed, change);
        changed.version = Set(version);
        changed.updated_at = Set(now.as_millis());
        let row = changed.update(&tx).await?;
        self.db.commit(tx, &[Change::Exam(id)], now).await?;
        to_exam(row)
    }
}

fn apply(row: &mut exam::ActiveModel, change: &ExamChange) {
    if let Some(title) = &change.title {
        row.title = Set(title.clone());
    }
    if let Some(description) = &change.description {
        row.description = Set(description.clone());
    }
    if let Some(minutes) = change.duration_minutes {
        row.duration_minutes = Set(to_i32(minutes));
    }
    if let Some(attempts) = change.max_attempts {
        row.max_attempts = Set(to_i32(attempts));
    }
    if let Some(percent) = change.pass_mark {
        row.pass_mark = Set(i32::from(percent));
    }
    patch(&mut row.opens_at, change.opens_at);
    patch(&mut row.closes_at, change.closes_at);
    if let Some(shuffle) = change.shuffle {
        row.shuffle = Set(shuffle);
    }
}

fn patch(column: &mut ActiveValue<Option<i64>>, change: Patch<Timestamp>) {
    match change {
        Patch::Keep => {}
        Patch::Clear => *column = Set(None),
        Patch::Set(moment) => *column = Set(Some(moment.as_millis())),
    }
}

async fn insert_questions(tx: &DatabaseTransaction, exam: ExamId, questions: &[Question]) -> Result<(), Error> {
    let rows = questions.iter().enumerate().map(|(position, question)| {
        let kind = serde_json::to_value(&question.kind);
        Ok(question::ActiveModel {
            id: Set(question.id.0),
            exam_id: Set(exam.0),
            position: Set(i32::try_from(position).unwrap_or(i32::MAX)),
            text: Set(question.text.clone()),
            points: Set(question.points),
            kind: Set(kind.map_err(|_| Error::Corrupt { table: "questions", column: "kind" })?),
        })
    });
    let rows: Vec<_> = rows.collect::<Result<_, Error>>()?;
    for rows in rows.chunks(1000) {
        question::Entity::insert_many(rows.to_vec()).exec_without_returning(tx).await?;
    }
    Ok(())
}

fn to_exam(row: exam::Model) -> Result<Versioned<Exam>, Error> {
    let corrupt = |column| Error::Corrupt { table: "exams", column };
    let value = Exam {
        id: ExamId(row.id),
        author_id: UserId(row.author_id),
        title: row.title,
        description: row.description,
        duration_minutes: row.duration_minutes.try_into().map_err(|_| corrupt("duration_minutes"))?,
        max_attempts: row.max_attempts.try_into().map_err(|_| corrupt("max_attempts"))?,
        pass_mark: row.pass_mark.try_into().map_err(|_| corrupt("pass_mark"))?,
        opens_at: row.opens_at.map(Timestamp::from_millis),
        closes_at: row.closes_at.map(Timestamp::from_millis),
        shuffle: row.shuffle,
        status: row.status.parse().map_err(|_| corrupt("status"))?,
        created_at: Timestamp::from_millis(row.created_at),
        updated_at: Timestamp::from_millis(row.updated_at),
    };
    Ok(Versioned { version: row.version, value })
}

fn to_question(row: question::Model) -> Result<Question, Error> {
    let kind = serde_json::from_value(row.kind);
    Ok(Question {
        id: QuestionId(row.id),
        text: row.text,
        points: row.points,
        kind: kind.map_err(|_| Error::Corrupt { table: "questions", column: "kind" })?,
    })
}

fn to_i32(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
