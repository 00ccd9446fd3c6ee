//! Submission: grades what is stored, and commits the result with the mail that reports it.

use std::sync::Arc;

use examhall_core::{
    Answer, Attempt, AttemptId, EmailAddress, ExamId, ExamResult, Locale, ResultId, Timestamp, Ungraded, UserId,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, QueryTrait,
    sea_query::{CommonTableExpression, Expr, ExprTrait, WithClause},
};
use uuid::Uuid;

use super::{Attempts, row::Sitting};
use crate::{
    Error, NewMail, PreparedPaper,
    entity::{attempt, mail_outbox, result},
    outbox,
    results::to_result,
};

/// What the mail about a result is made of.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who sat the exam, as they call themselves.
    pub name: String,
    /// Where their mail goes.
    pub email: EmailAddress,
    /// The language that they want their mails in.
    pub locale: Option<Locale>,
    /// The exam's title.
    pub title: String,
    /// The result.
    pub result: ExamResult,
}

/// What came of submitting.
#[derive(Clone, Debug, PartialEq)]
pub enum Submitted {
    /// There is a result, of now or of before.
    Done {
        /// The result.
        result: ExamResult,
        /// Answers that could not be graded.
        ungraded: Vec<Ungraded>,
        /// Whether the student may see the result now.
        is_shown: bool,
    },
    /// Nothing was done: the paper of this exam, at this version, must be at hand.
    Needs(ExamId, i64),
}

/// How attempts are graded and reported.
pub trait Grading: Sync {
    /// The paper of an exam at this version, if it is at hand.
    fn paper(&self, exam: ExamId, version: i64) -> Option<Arc<PreparedPaper>>;

    /// The mail that reports a result.
    fn mail(&self, submission: &Submission) -> NewMail;
}

/// Rows that one attempt that is submitted becomes.
#[derive(Clone)]
pub(super) struct Graded {
    id: Uuid,
    result: result::ActiveModel,
    /// Absent where the student wants none, or may not see the result yet.
    mail: Option<mail_outbox::ActiveModel>,
    shown: ExamResult,
}

impl Attempts {
    /// Submits an attempt: grades what is stored of it and commits the result with the mail that reports it. Where that
    /// was done before, returns the existing result.
    ///
    /// The exam's version is read with the attempt: a paper at another version grades nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], also where it is not `user`'s; [`Error::Unavailable`].
    pub async fn submit(
        &self,
        id: AttemptId,
        user: UserId,
        grading: &impl Grading,
        now: Timestamp,
    ) -> Result<Submitted, Error> {
        self.submit_if(|_| true, id, user, grading, now).await
    }

    /// As [`submit`](Self::submit), if the attempt takes no answers any more.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and [`Error::AttemptOpen`] where it does.
    pub async fn submit_overdue(
        &self,
        id: AttemptId,
        user: UserId,
        grading: &impl Grading,
        now: Timestamp,
    ) -> Result<Submitted, Error> {
        let is_over = |sitting: &Sitting| Timestamp::from_millis(sitting.deadline).plus(Attempt::GRACE) <= now;
        self.submit_if(is_over, id, user, grading, now).await
    }

    async fn submit_if(
        &self,
        is_due: impl Fn(&Sitting) -> bool,
        id: AttemptId,
        user: UserId,
        grading: &impl Grading,
        now: Timestamp,
    ) -> Result<Submitted, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let sitting = Sitting::lock(&tx, id).await?;
                if sitting.user_id != user.0 {
                    return Err(Error::NotFound);
                }
                if sitting.submitted_at.is_none() && !is_due(&sitting) {
                    return Err(Error::AttemptOpen(id));
                }
                let Some(paper) = grading.paper(sitting.exam(), sitting.version) else {
                    return Ok(Submitted::Needs(sitting.exam(), sitting.version));
                };
                let answers = sitting.answers()?;
                let ungraded = paper.key.ungraded(&answers);
                if sitting.submitted_at.is_some() {
                    let found = result::Entity::find().filter(result::Column::AttemptId.eq(id.0)).one(&tx).await?;
                    let result = found.map(|row| to_result(&row)).ok_or(Error::NotFound)?;
                    let is_shown = paper.exam.access().shows_result(result.graded_at, now);
                    return Ok(Submitted::Done { result, ungraded, is_shown });
                }
                let graded = Graded::of(&sitting, &answers, &paper, grading, now)?;
                insert(&tx, std::slice::from_ref(&graded), now).await?;
                tx.commit().await?;
                let is_shown = paper.exam.access().shows_result(now, now);
                Ok(Submitted::Done { result: graded.shown, ungraded, is_shown })
            })
            .await
    }
}

impl Graded {
    pub(super) fn of(
        sitting: &Sitting,
        answers: &[Answer],
        paper: &PreparedPaper,
        grading: &impl Grading,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let grade = paper.key.grade(answers, paper.exam.pass_mark);
        let marks = serde_json::to_value(&grade.marks);
        let marks = marks.map_err(|_| Error::Corrupt { table: "results", column: "marks" })?;
        let shown = ExamResult {
            id: ResultId(Uuid::now_v7()),
            exam_id: sitting.exam(),
            attempt_id: AttemptId(sitting.id),
            user_id: UserId(sitting.user_id),
            score: grade.score,
            max_score: grade.max_score,
            percent: grade.percent,
            passed: grade.passed,
            graded_at: now,
            regraded_at: None,
        };
        let title = paper.exam.title.clone();
        let (name, email, locale) = (sitting.name.clone(), sitting.email(), sitting.locale());
        let submission = Submission { name, email, locale, title, result: shown };
        // What the student may not see yet is not mailed.
        let is_mailed = sitting.is_mailed() && paper.exam.access().shows_result(now, now);
        let mail = is_mailed.then(|| outbox::to_row(&grading.mail(&submission), now));
        let shown = submission.result;
        let result = result::ActiveModel {
            id: Set(shown.id.0),
            attempt_id: Set(sitting.id),
            exam_id: Set(sitting.exam_id),
            user_id: Set(sitting.user_id),
            score: Set(shown.score),
            max_score: Set(shown.max_score),
            percent: Set(shown.percent),
            passed: Set(shown.passed),
            marks: Set(marks),
            graded_at: Set(now.as_millis()),
            published_at: Set(None),
            version: Set(1),
            regraded_at: Set(None),
        };
        Ok(Self { id: sitting.id, result, mail, shown })
    }

    pub(super) fn attempt(&self) -> AttemptId {
        AttemptId(self.id)
    }
}

/// Writes results and mails, and closes the attempts; on PostgreSQL in one statement.
pub(super) async fn insert(tx: &DatabaseTransaction, graded: &[Graded], now: Timestamp) -> Result<(), Error> {
    let results = result::Entity::insert_many(graded.iter().map(|one| one.result.clone()));
    let mails: Vec<_> = graded.iter().filter_map(|one| one.mail.clone()).collect();
    let mails = (!mails.is_empty()).then(|| mail_outbox::Entity::insert_many(mails));
    // What its deadline has ended was submitted then.
    let ended =
        Expr::case(Expr::col(attempt::Column::Deadline).lt(now.as_millis()), Expr::col(attempt::Column::Deadline))
            .finally(now.as_millis());
    let close = attempt::Entity::update_many()
        .col_expr(attempt::Column::SubmittedAt, ended.into())
        .filter(attempt::Column::Id.is_in(graded.iter().map(|one| one.id)));
    if tx.get_database_backend() != DbBackend::Postgres {
        results.exec_without_returning(tx).await?;
        if let Some(mails) = mails {
            mails.exec_without_returning(tx).await?;
        }
        close.exec(tx).await?;
        return Ok(());
    }
    let part = |name: &'static str, query| CommonTableExpression::new().query(query).table_name(name).to_owned();
    let mut with = WithClause::new().cte(part("new_results", results.into_query())).to_owned();
    if let Some(mails) = mails {
        with.cte(part("new_mails", mails.into_query()));
    }
    tx.execute(&close.into_query().with(with)).await?;
    Ok(())
}
