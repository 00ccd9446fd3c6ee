//! Answers that are stored while an attempt is open: all of them again, or those that changed.

use std::collections::HashMap;

use examhall_core::{Answer, Attempt, AttemptId, ExamId, QuestionId, Timestamp, UserId};
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement, Value};
use uuid::Uuid;

use super::Attempts;
use crate::Error;

/// Most answers an attempt holds: a full set of those it had, and as many that are new.
const MAX_ANSWERS: i64 = 2000;

/// What is stored after answers were saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveReceipt {
    /// The exam that the attempt is at.
    pub exam: ExamId,
    /// The number of the answers that are stored: the one that was given, or a higher one.
    pub seq: i64,
    /// When they were stored.
    pub saved_at: Timestamp,
}

/// How the new value of the column `answers` is made of `$1`, and of the old one.
#[derive(Clone, Copy)]
enum Write {
    Replace,
    Merge,
}

impl Write {
    /// The old value is named, not read before: a row that was locked meanwhile is merged with what it holds then.
    const fn answers(self, backend: DbBackend) -> &'static str {
        match (self, backend) {
            (Self::Replace, _) => "$1",
            (Self::Merge, DbBackend::Postgres) => {
                "(SELECT COALESCE(jsonb_agg(one ORDER BY is_new, n), '[]') FROM (\
                 SELECT one, n, false FROM jsonb_array_elements(attempts.answers) WITH ORDINALITY AS old(one, n) \
                 WHERE one->>'questionId' NOT IN (SELECT new->>'questionId' FROM jsonb_array_elements($1) AS new) \
                 UNION ALL SELECT one, n, true FROM jsonb_array_elements($1) WITH ORDINALITY AS new(one, n) \
                 WHERE one->'choiceIds' IS NOT NULL OR one->'value' IS NOT NULL) AS merged(one, n, is_new))"
            }
            (Self::Merge, _) => {
                "(SELECT json_group_array(json(one)) FROM (\
                 SELECT value AS one FROM json_each(attempts.answers) WHERE value->>'questionId' NOT IN \
                 (SELECT value->>'questionId' FROM json_each($1)) \
                 UNION ALL SELECT value FROM json_each($1) \
                 WHERE value->'choiceIds' IS NOT NULL OR value->'value' IS NOT NULL))"
            }
        }
    }

    const fn length(self, backend: DbBackend) -> &'static str {
        match (self, backend) {
            (Self::Replace, _) => "0",
            (Self::Merge, DbBackend::Postgres) => "jsonb_array_length(answers)",
            (Self::Merge, _) => "json_array_length(answers)",
        }
    }
}

/// What decides whether an attempt takes answers.
#[derive(FromQueryResult)]
struct Facts {
    exam_id: Uuid,
    user_id: Uuid,
    started_at: i64,
    deadline: i64,
    submitted_at: Option<i64>,
    seq: i64,
    saved_at: Option<i64>,
}

impl Attempts {
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
    ) -> Result<SaveReceipt, Error> {
        self.db.retry(|| self.write(Write::Replace, id, user, seq, answers, now)).await
    }

    /// Stores the answers that changed alongside those before, if `seq` is higher than theirs; one statement. An answer
    /// without a choice and without a value removes the one before; of several to one question the last counts.
    ///
    /// # Errors
    /// As [`save`](Self::save); [`Error::WrongState`] also where the attempt would hold too many answers.
    pub async fn merge(
        &self,
        id: AttemptId,
        user: UserId,
        seq: i64,
        changed: &[Answer],
        now: Timestamp,
    ) -> Result<SaveReceipt, Error> {
        let changed = last_of_each(changed);
        self.db.retry(|| self.write(Write::Merge, id, user, seq, &changed, now)).await
    }

    async fn write(
        &self,
        write: Write,
        id: AttemptId,
        user: UserId,
        seq: i64,
        answers: &[Answer],
        now: Timestamp,
    ) -> Result<SaveReceipt, Error> {
        let count = i64::try_from(answers.len()).unwrap_or(i64::MAX);
        let answers = serde_json::to_value(answers);
        let answers = answers.map_err(|_| Error::Corrupt { table: "attempts", column: "answers" })?;
        let first_deadline = now.as_millis() - i64::try_from(Attempt::GRACE.as_millis()).unwrap_or(0);
        let backend = self.db.read.get_database_backend();
        let sql = format!(
            "UPDATE attempts SET answers = {}, seq = $2, saved_at = $3 WHERE id = $4 AND user_id = $5 \
             AND submitted_at IS NULL AND deadline > $6 AND (seq < $2 OR seq > $8) AND {} <= $7 RETURNING exam_id",
            write.answers(backend),
            write.length(backend),
        );
        let values: [Value; 8] = [
            answers.into(),
            seq.into(),
            now.as_millis().into(),
            id.0.into(),
            user.0.into(),
            first_deadline.into(),
            MAX_ANSWERS.saturating_sub(count).into(),
            Attempt::MAX_SEQ.into(),
        ];
        let saved = self.db.write_one(Statement::from_sql_and_values(backend, sql, values)).await?;
        match saved {
            Some(row) => Ok(SaveReceipt { exam: ExamId(row.try_get("", "exam_id")?), seq, saved_at: now }),
            None => self.why_not(id, user, seq, now).await,
        }
    }

    /// Says why nothing was stored; where a higher number was stored before, that is no error.
    async fn why_not(&self, id: AttemptId, user: UserId, seq: i64, now: Timestamp) -> Result<SaveReceipt, Error> {
        let backend = self.db.read.get_database_backend();
        let sql =
            "SELECT exam_id, user_id, started_at, deadline, submitted_at, seq, saved_at FROM attempts WHERE id = $1";
        let row = self.db.read.query_one_raw(Statement::from_sql_and_values(backend, sql, [id.0.into()])).await?;
        let facts = Facts::from_query_result(&row.ok_or(Error::NotFound)?, "")?;
        if facts.user_id != user.0 {
            return Err(Error::NotFound);
        }
        if facts.submitted_at.is_some() {
            return Err(Error::WrongState("the attempt has been submitted"));
        }
        let last_call = Timestamp::from_millis(facts.deadline).plus(Attempt::GRACE);
        if now >= last_call {
            return Err(Error::WrongState("the time of this attempt is over"));
        }
        if facts.seq < seq || facts.seq > Attempt::MAX_SEQ {
            return Err(Error::WrongState("the attempt holds too many answers: send all of them with PUT"));
        }
        let saved_at = Timestamp::from_millis(facts.saved_at.unwrap_or(facts.started_at));
        Ok(SaveReceipt { exam: ExamId(facts.exam_id), seq: facts.seq, saved_at })
    }
}

fn last_of_each(answers: &[Answer]) -> Vec<Answer> {
    let last: HashMap<QuestionId, usize> =
        answers.iter().enumerate().map(|(n, answer)| (answer.question_id, n)).collect();
    let is_last = |(n, answer): &(usize, &Answer)| last[&answer.question_id] == *n;
    answers.iter().enumerate().filter(is_last).map(|(_, answer)| answer.clone()).collect()
}
