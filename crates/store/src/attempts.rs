//! Students' sittings of exams.

use examhall_core::{Answer, AnswerKey, Attempt, AttemptId, EmailAddress, Exam, ExamId, ExamResult, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use crate::{
    Error, Listed, NewMail, Page, Paper,
    db::Db,
    entity::{attempt, exam, result, user},
    exams::to_exam,
    outbox,
    results::to_result,
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

/// What the mail about a result is made of.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who sat the exam, as they call themselves.
    pub name: String,
    /// Where their mail goes.
    pub email: EmailAddress,
    /// The result.
    pub result: ExamResult,
}

impl Attempts {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Begins an attempt, if the exam is open, the student has one left and none is open.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotOpen`], [`Error::AttemptOpen`], [`Error::WrongState`], [`Error::Unavailable`].
    pub async fn start(&self, exam: ExamId, user: UserId, now: Timestamp) -> Result<(Exam, Attempt), Error> {
        self.db.retry(|| self.start_once(exam, user, now)).await
    }

    async fn start_once(&self, exam: ExamId, user: UserId, now: Timestamp) -> Result<(Exam, Attempt), Error> {
        let tx = self.db.begin().await?;
        // Shared: thousands may start at once, and nobody changes the questions meanwhile.
        let row = exam::Entity::find_by_id(exam.0).lock(LockType::Share).one(&tx).await?.ok_or(Error::NotFound)?;
        let exam = to_exam(row)?.value;
        if !exam.access().is_open(now) {
            return Err(Error::NotOpen);
        }
        let mine = attempt::Column::ExamId.eq(exam.id.0).and(attempt::Column::UserId.eq(user.0));
        let last = attempt::Entity::find().filter(mine).order_by_desc(attempt::Column::Number).one(&tx).await?;
        if let Some(open) = last.as_ref().filter(|last| last.submitted_at.is_none()) {
            return Err(Error::AttemptOpen(AttemptId(open.id)));
        }
        let begun = last.map_or(0, |last| last.number);
        if i64::from(begun) >= i64::from(exam.max_attempts) {
            return Err(Error::WrongState("you have used all your attempts at this exam"));
        }
        let row = attempt::ActiveModel {
            id: Set(Uuid::now_v7()),
            exam_id: Set(exam.id.0),
            user_id: Set(user.0),
            number: Set(begun + 1),
            started_at: Set(now.as_millis()),
            deadline: Set(Attempt::deadline_of(&exam, now).as_millis()),
            answers: Set(serde_json::Value::Array(Vec::new())),
            seq: Set(-1),
            saved_at: Set(None),
            submitted_at: Set(None),
        };
        let row = match row.insert(&tx).await.map_err(Error::from) {
            Err(error) if error.is_duplicate() => {
                tx.rollback().await?;
                return Err(self.came_first(exam.id, user).await?);
            }
            inserted => inserted?,
        };
        tx.commit().await?;
        Ok((exam, to_attempt(&row)))
    }

    /// Why an attempt cannot begin where another request of the same student came first.
    async fn came_first(&self, exam: ExamId, user: UserId) -> Result<Error, Error> {
        let mine = attempt::Column::ExamId.eq(exam.0).and(attempt::Column::UserId.eq(user.0));
        let open = mine.and(attempt::Column::SubmittedAt.is_null());
        let open = attempt::Entity::find().filter(open).one(&self.db.read).await?;
        let handed_in = Error::WrongState("another attempt of yours was begun at the same time");
        Ok(open.map_or(handed_in, |open| Error::AttemptOpen(AttemptId(open.id))))
    }

    /// An attempt, with what is stored of its answers.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn get(&self, id: AttemptId) -> Result<(Attempt, Saved), Error> {
        let row = attempt::Entity::find_by_id(id.0).one(&self.db.read).await?.ok_or(Error::NotFound)?;
        Ok((to_attempt(&row), to_saved(row)?))
    }

    /// A student's attempts at an exam, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn of_student(&self, exam: ExamId, user: UserId, page: Page) -> Result<Listed<Attempt>, Error> {
        let mine = attempt::Column::ExamId.eq(exam.0).and(attempt::Column::UserId.eq(user.0));
        let mut found = attempt::Entity::find().filter(mine).order_by_asc(attempt::Column::Id).limit(page.fetch());
        if let Some(after) = page.after {
            found = found.filter(attempt::Column::Id.gt(after));
        }
        let attempts = found.all(&self.db.read).await?.iter().map(to_attempt).collect();
        Ok(page.cut(attempts, |attempt: &Attempt| attempt.id.0))
    }

    /// Stores a student's answers in place of those before, if `seq` is higher than theirs; one statement.
    ///
    /// # Errors
    /// [`Error::NotFound`] where `user` has no such attempt, [`Error::WrongState`] where it takes no answers any more,
    /// [`Error::Unavailable`].
    pub async fn save(
        &self,
        id: AttemptId,
        user: UserId,
        seq: i64,
        answers: &[Answer],
        now: Timestamp,
    ) -> Result<(i64, Timestamp), Error> {
        self.db.retry(|| self.save_once(id, user, seq, answers, now)).await
    }

    async fn save_once(
        &self,
        id: AttemptId,
        user: UserId,
        seq: i64,
        answers: &[Answer],
        now: Timestamp,
    ) -> Result<(i64, Timestamp), Error> {
        let answers = serde_json::to_value(answers);
        let answers = answers.map_err(|_| Error::Corrupt { table: "attempts", column: "answers" })?;
        let first_deadline = now.as_millis() - i64::try_from(Attempt::GRACE.as_millis()).unwrap_or(0);
        let takes_them = attempt::Column::Id
            .eq(id.0)
            .and(attempt::Column::UserId.eq(user.0))
            .and(attempt::Column::SubmittedAt.is_null())
            .and(attempt::Column::Deadline.gt(first_deadline))
            .and(attempt::Column::Seq.lt(seq));
        let tx = self.db.begin().await?;
        let saved = attempt::Entity::update_many()
            .col_expr(attempt::Column::Answers, Expr::value(answers))
            .col_expr(attempt::Column::Seq, Expr::value(seq))
            .col_expr(attempt::Column::SavedAt, Expr::value(now.as_millis()))
            .filter(takes_them)
            .exec(&tx)
            .await?;
        tx.commit().await?;
        if saved.rows_affected == 1 {
            return Ok((seq, now));
        }
        let (attempt, stored) = self.get(id).await?;
        if attempt.user_id != user {
            return Err(Error::NotFound);
        }
        if attempt.submitted_at.is_some() {
            return Err(Error::WrongState("the attempt has been handed in"));
        }
        if !attempt.takes_answers(now) {
            return Err(Error::WrongState("the time of this attempt is over"));
        }
        Ok((stored.seq, stored.saved_at.unwrap_or(attempt.started_at)))
    }

    /// Up to `limit` open attempts that take no answers any more, oldest deadline first, after `skip` of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn overdue(&self, skip: u64, limit: u64, now: Timestamp) -> Result<Vec<Attempt>, Error> {
        let last_deadline = now.as_millis() - i64::try_from(Attempt::GRACE.as_millis()).unwrap_or(0);
        let is_due = attempt::Column::SubmittedAt.is_null().and(attempt::Column::Deadline.lte(last_deadline));
        let found = attempt::Entity::find()
            .filter(is_due)
            .order_by_asc(attempt::Column::Deadline)
            .order_by_asc(attempt::Column::Id)
            .offset(skip)
            .limit(limit);
        Ok(found.all(&self.db.read).await?.iter().map(to_attempt).collect())
    }

    /// Hands an attempt in: grades what is stored of it and commits the result with the mail that tells it. Where that
    /// was done before, gives the result that there is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn submit(
        &self,
        id: AttemptId,
        paper: &Paper,
        now: Timestamp,
        mail: impl Fn(&Submission) -> NewMail + Send + Sync,
    ) -> Result<ExamResult, Error> {
        self.db.retry(|| self.submit_once(id, paper, now, &mail)).await
    }

    async fn submit_once(
        &self,
        id: AttemptId,
        paper: &Paper,
        now: Timestamp,
        mail: &(impl Fn(&Submission) -> NewMail + Sync),
    ) -> Result<ExamResult, Error> {
        let tx = self.db.begin().await?;
        let row = attempt::Entity::find_by_id(id.0).lock(LockType::Update).one(&tx).await?.ok_or(Error::NotFound)?;
        if row.submitted_at.is_some() {
            let found = result::Entity::find().filter(result::Column::AttemptId.eq(id.0)).one(&tx).await?;
            return found.map(|row| to_result(&row)).ok_or(Error::NotFound);
        }
        let attempt = to_attempt(&row);
        let answers = to_saved(row)?.answers;
        let result = insert_result(&tx, &attempt, paper, &answers, now).await?;
        attempt::Entity::update_many()
            .col_expr(attempt::Column::SubmittedAt, Expr::value(now.min(attempt.deadline).as_millis()))
            .filter(attempt::Column::Id.eq(id.0))
            .exec(&tx)
            .await?;
        let student = user::Entity::find_by_id(attempt.user_id.0).one(&tx).await?.ok_or(Error::NotFound)?;
        let email = EmailAddress::from_stored(student.email);
        let submission = Submission { name: student.name, email, result };
        outbox::insert(&tx, &mail(&submission), now).await?;
        tx.commit().await?;
        Ok(submission.result)
    }
}

async fn insert_result(
    tx: &DatabaseTransaction,
    attempt: &Attempt,
    paper: &Paper,
    answers: &[Answer],
    now: Timestamp,
) -> Result<ExamResult, Error> {
    let grade = AnswerKey::new(&paper.questions).grade(answers, paper.exam.pass_mark);
    let marks = serde_json::to_value(&grade.marks);
    let row = result::ActiveModel {
        id: Set(Uuid::now_v7()),
        attempt_id: Set(attempt.id.0),
        exam_id: Set(attempt.exam_id.0),
        user_id: Set(attempt.user_id.0),
        score: Set(grade.score),
        max_score: Set(grade.max_score),
        percent: Set(grade.percent),
        passed: Set(grade.passed),
        marks: Set(marks.map_err(|_| Error::Corrupt { table: "results", column: "marks" })?),
        graded_at: Set(now.as_millis()),
        published_at: Set(None),
    };
    Ok(to_result(&row.insert(tx).await?))
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
        seq: row.seq,
        saved_at: row.saved_at.map(Timestamp::from_millis),
        answers: answers.map_err(|_| Error::Corrupt { table: "attempts", column: "answers" })?,
    })
}
