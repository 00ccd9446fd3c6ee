//! A graded attempt with its student, read in one statement, and what becomes of it.

use std::ops::RangeInclusive;

use examhall_core::{
    Answer, AttemptId, EmailAddress, ExamId, ExamResult, Locale, Mark, RegradeCounts, ResultId, Timestamp, UserId,
};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use uuid::Uuid;

use crate::{Error, PreparedPaper, Submission};

/// A graded attempt with its student.
#[derive(FromQueryResult)]
pub(super) struct GradedRow {
    pub(super) attempt_id: Uuid,
    id: Uuid,
    exam_id: Uuid,
    user_id: Uuid,
    score: f64,
    max_score: f64,
    percent: f64,
    passed: bool,
    /// As text, as are the answers: they are parsed once.
    marks: String,
    graded_at: i64,
    regraded_at: Option<i64>,
    pub(super) version: i64,
    answers: String,
    name: Option<String>,
    email: Option<String>,
    locale: Option<String>,
    results_unsubscribed_at: Option<i64>,
}

/// What a result is that was graded again.
pub(super) struct Changed {
    pub(super) result: ExamResult,
    pub(super) marks: Vec<Mark>,
    /// Where the student is to be told.
    pub(super) mail: Option<Submission>,
}

const ROWS: &str = "SELECT a.id AS attempt_id, r.id, r.exam_id, r.user_id, r.score, r.max_score, r.percent, r.passed, \
    CAST(r.marks AS TEXT) AS marks, r.graded_at, r.regraded_at, r.version, CAST(a.answers AS TEXT) AS answers, \
    u.name, u.email, u.locale, u.results_unsubscribed_at \
    FROM attempts a JOIN results r ON r.attempt_id = a.id LEFT JOIN users u ON u.id = a.user_id \
    WHERE a.exam_id = $1 AND a.id > $2 AND a.id <= $3 ORDER BY a.id LIMIT $4";

/// Reads up to `limit` graded attempts at an exam, of those after the first and up to the last of `between`.
pub(super) async fn read(
    db: &impl ConnectionTrait,
    exam: ExamId,
    between: RangeInclusive<Uuid>,
    limit: u64,
) -> Result<Vec<GradedRow>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values: [Value; 4] = [exam.0.into(), (*between.start()).into(), (*between.end()).into(), limit.into()];
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), ROWS, values)).await?;
    Ok(rows.iter().map(|row| GradedRow::from_query_result(row, "")).collect::<Result<_, _>>()?)
}

impl GradedRow {
    pub(super) fn result(&self) -> ExamResult {
        ExamResult {
            id: ResultId(self.id),
            exam_id: ExamId(self.exam_id),
            attempt_id: AttemptId(self.attempt_id),
            user_id: UserId(self.user_id),
            score: self.score,
            max_score: self.max_score,
            percent: self.percent,
            passed: self.passed,
            graded_at: Timestamp::from_millis(self.graded_at),
            regraded_at: self.regraded_at.map(Timestamp::from_millis),
        }
    }

    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_default()
    }

    /// The marks as they are stored.
    pub(super) fn marks(&self) -> serde_json::Value {
        serde_json::from_str(&self.marks).unwrap_or_default()
    }

    /// Grades it again, and counts that. `None` if it stays as it is.
    pub(super) fn grade(&self, paper: &PreparedPaper, counts: &mut RegradeCounts, now: Timestamp) -> Option<Changed> {
        let Ok(answers) = serde_json::from_str::<Vec<Answer>>(&self.answers) else {
            counts.ungradable += 1;
            return None;
        };
        let (before, grade) = (self.result(), paper.key.grade(&answers, paper.exam.pass_mark));
        let marks: Vec<Mark> = serde_json::from_str(&self.marks).unwrap_or_default();
        let after = counts.add(&before, &marks, &grade)?;
        let is_shown = paper.exam.access().shows_result(before.graded_at, now);
        // Other marks alone are nothing that the mail shows.
        let mail = (is_shown && after != before).then(|| self.mail(paper, &after)).flatten();
        counts.mailed += u64::from(mail.is_some());
        Some(Changed { result: ExamResult { regraded_at: Some(now), ..after }, marks: grade.marks, mail })
    }

    fn mail(&self, paper: &PreparedPaper, after: &ExamResult) -> Option<Submission> {
        let email = self.email.clone().filter(|_| self.results_unsubscribed_at.is_none())?;
        Some(Submission {
            name: self.name(),
            email: EmailAddress::from_stored(email),
            locale: self.locale.as_deref().and_then(|tag| Locale::parse(tag).ok()),
            title: paper.exam.title.clone(),
            result: after.clone(),
        })
    }
}
