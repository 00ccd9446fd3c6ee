//! Students' sittings of exams.

mod deadline;
mod export;
mod list;
mod row;
mod save;
mod submit;
mod sweep;

use examhall_core::{Admission, Allowance, Answer, Attempt, AttemptId, Exam, ExamId, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, ExprTrait, FromQueryResult, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Statement,
    sea_query::{LockType, SelectStatement},
};
use uuid::Uuid;

pub use self::{
    export::OwnAttempt,
    list::{AttemptFilter, AttemptRow, AttemptSort},
    save::SaveReceipt,
    submit::{Grading, Submission, Submitted},
    sweep::{Place, Swept},
};
use crate::{
    Error,
    accommodations::to_allowance,
    db::Db,
    entity::{attempt, exam},
    exams::row::to_exam,
    seats,
};

/// Students' sittings of exams.
#[derive(Clone, Debug)]
pub struct Attempts {
    db: Db,
}

/// What is stored of a student's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Given by the client; the higher one wins.
    pub seq: i64,
    /// When they were stored; absent where there are none.
    pub saved_at: Option<Timestamp>,
    /// The answers.
    pub answers: Vec<Answer>,
}

/// Runs of one start, each overtaken by another start of the same student.
const MAX_START_RUNS: usize = 3;

impl Attempts {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Begins an attempt, if the exam is open, the student has one left and none is open.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotOpen`], [`Error::NoSeat`], [`Error::AttemptOpen`], [`Error::WrongState`], [`Error::Unavailable`].
    pub async fn start(&self, exam: ExamId, user: UserId, now: Timestamp) -> Result<(Exam, Attempt), Error> {
        for _ in 0..MAX_START_RUNS {
            match self.db.retry(|| self.start_once(exam, user, now)).await {
                // Another start of the student was committed first: the next run sees what became of it.
                Err(error) if error.is_duplicate() => {}
                decided => return decided,
            }
        }
        Err(Error::WrongState("other attempts of yours were begun at the same time"))
    }

    /// # Errors
    /// As [`start`](Self::start), and a duplicate where another start of the student came first.
    async fn start_once(&self, exam: ExamId, user: UserId, now: Timestamp) -> Result<(Exam, Attempt), Error> {
        let tx = self.db.begin().await?;
        // Shared: thousands may start at once, and nobody changes the questions meanwhile.
        let row = exam::Entity::find_by_id(exam.0).lock(LockType::Share).one(&tx).await?.ok_or(Error::NotFound)?;
        let exam = to_exam(row)?.value;
        if !exam.access().is_open(now) {
            return Err(Error::NotOpen);
        }
        if exam.access != Admission::Open && !seats::has(&tx, exam.id, user).await? {
            return Err(Error::NoSeat(exam.access));
        }
        let Before { last, number, submitted_at, percent, minutes } = Before::read(&tx, exam.id, user).await?;
        if let Some(open) = last.filter(|_| submitted_at.is_none()) {
            return Err(Error::AttemptOpen(AttemptId(open)));
        }
        let begun = number.unwrap_or(0);
        let Allowance { percent, extra_ms } = percent.zip(minutes).map_or(Allowance::NONE, to_allowance);
        let deadline = Allowance { percent, extra_ms }.deadline(&exam, now);
        if i64::from(begun) >= i64::from(exam.max_attempts) {
            return Err(Error::WrongState("you have used all your attempts at this exam"));
        }
        let row = attempt::ActiveModel {
            id: Set(Uuid::now_v7()),
            exam_id: Set(exam.id.0),
            user_id: Set(user.0),
            number: Set(begun + 1),
            started_at: Set(now.as_millis()),
            deadline: Set(deadline.as_millis()),
            answers: Set(serde_json::Value::Array(Vec::new())),
            seq: Set(-1),
            saved_at: Set(None),
            submitted_at: Set(None),
            time_percent: Set(i32::try_from(percent).unwrap_or(i32::MAX)),
            extra_ms: Set(extra_ms),
        };
        let row = row.insert(&tx).await?;
        tx.commit().await?;
        Ok((exam, to_attempt(&row)))
    }

    /// An attempt, with what is stored of its answers.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn get(&self, id: AttemptId) -> Result<(Attempt, Saved), Error> {
        let row = attempt::Entity::find_by_id(id.0).one(&self.db.read).await?.ok_or(Error::NotFound)?;
        Ok((to_attempt(&row), to_saved(row)?))
    }

    /// A student's newest attempt at an exam: the one that is open, if any is. Reads an index.
    ///
    /// Counted in `store_loads_total{what="attempt"}`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn last_of(&self, exam: ExamId, user: UserId) -> Result<Option<Attempt>, Error> {
        metrics::counter!("store_loads_total", "what" => "attempt").increment(1);
        let mine = attempt::Column::ExamId.eq(exam.0).and(attempt::Column::UserId.eq(user.0));
        let last = attempt::Entity::find().filter(mine).order_by_desc(attempt::Column::Number).limit(1);
        Ok(last.one(&self.db.read).await?.as_ref().map(to_attempt))
    }
}

/// The exams that a student has begun.
pub(crate) fn exams_of(student: UserId) -> SelectStatement {
    let theirs = attempt::Entity::find().filter(attempt::Column::UserId.eq(student.0));
    theirs.select_only().column(attempt::Column::ExamId).into_query()
}

/// What decides a start: the student's newest attempt, if there is one, and the time that they are granted.
#[derive(FromQueryResult)]
struct Before {
    last: Option<Uuid>,
    number: Option<i32>,
    submitted_at: Option<i64>,
    percent: Option<i32>,
    minutes: Option<i32>,
}

impl Before {
    /// Reads it in one statement.
    async fn read(tx: &DatabaseTransaction, exam: ExamId, user: UserId) -> Result<Self, Error> {
        // A deletion of the account waits, or is seen.
        let lock = if tx.get_database_backend() == DbBackend::Postgres { "FOR KEY SHARE OF u" } else { "" };
        let sql = format!(
            "SELECT a.id AS last, a.number, a.submitted_at, g.percent, g.minutes FROM users u \
             LEFT JOIN accommodations g ON g.exam_id = $1 AND g.user_id = u.id \
             LEFT JOIN attempts a ON a.exam_id = $1 AND a.user_id = u.id WHERE u.id = $2 AND u.deleted_at IS NULL \
             ORDER BY a.number DESC LIMIT 1 {lock}"
        );
        let values = [exam.0.into(), user.0.into()];
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let row = tx.query_one_raw(statement).await?.ok_or(Error::NotFound)?;
        Ok(Self::from_query_result(&row, "")?)
    }
}

fn to_attempt(row: &attempt::Model) -> Attempt {
    Attempt {
        id: AttemptId(row.id),
        exam_id: ExamId(row.exam_id),
        user_id: UserId(row.user_id),
        started_at: Timestamp::from_millis(row.started_at),
        deadline: Timestamp::from_millis(row.deadline),
        submitted_at: row.submitted_at.map(Timestamp::from_millis),
        order: None,
    }
}

fn to_saved(row: attempt::Model) -> Result<Saved, Error> {
    let answers = serde_json::from_value(row.answers);
    Ok(Saved {
        // Earlier versions took higher ones; they count as none.
        seq: if row.seq > Attempt::MAX_SEQ { -1 } else { row.seq },
        saved_at: row.saved_at.map(Timestamp::from_millis),
        answers: answers.map_err(|_| Error::Corrupt { table: "attempts", column: "answers" })?,
    })
}
