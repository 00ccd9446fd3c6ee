//! How an exam went: its results added up.

use examhall_core::{ExamId, Mark, Statistics, StatisticsBuilder};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use uuid::Uuid;

use super::Results;
use crate::Error;

/// Results that are read at a time: with 1,000 questions each has marks of 90 KB.
const CHUNK: u16 = 100;

/// What is added up of a result.
#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    percent: f64,
    passed: bool,
    /// As text: it is parsed once, straight to marks.
    marks: String,
}

impl Results {
    /// How often results of an exam were changed by grading again; reads an index.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn changes(&self, exam: ExamId) -> Result<u64, Error> {
        let sql = "SELECT CAST(COALESCE(SUM(changed), 0) AS BIGINT) AS count FROM regrades WHERE exam_id = $1";
        self.count_by(sql, exam).await
    }

    /// How many results an exam has; reads an index alone.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count(&self, exam: ExamId) -> Result<u64, Error> {
        self.count_by("SELECT COUNT(*) AS count FROM results WHERE exam_id = $1", exam).await
    }

    async fn count_by(&self, sql: &str, exam: ExamId) -> Result<u64, Error> {
        let backend = self.db.read.get_database_backend();
        let row = self.db.read.query_one_raw(Statement::from_sql_and_values(backend, sql, [exam.0.into()])).await?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "count"))?;
        Ok(count.unsigned_abs())
    }

    /// How an exam went; goes through its results a chunk at a time. Parsing their marks takes long: for a thread that
    /// may block.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn statistics(&self, exam: ExamId) -> Result<Statistics, Error> {
        let backend = self.db.read.get_database_backend();
        let sql = "SELECT id, percent, passed, CAST(marks AS TEXT) AS marks FROM results WHERE exam_id = $1 AND id > $2 \
             ORDER BY id LIMIT $3";
        let (mut builder, mut after) = (StatisticsBuilder::default(), Uuid::nil());
        loop {
            let values: [Value; 3] = [exam.0.into(), after.into(), i64::from(CHUNK).into()];
            let rows = self.db.read.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
            for row in &rows {
                let row = Row::from_query_result(row, "")?;
                let marks: Vec<Mark> = serde_json::from_str(&row.marks).unwrap_or_else(|error| {
                    tracing::error!(result_id = %row.id, %error, "Marks left out of statistics: they cannot be read");
                    Vec::new()
                });
                builder.add(row.percent, row.passed, &marks);
                after = row.id;
            }
            if rows.len() < usize::from(CHUNK) {
                return Ok(builder.finish());
            }
        }
    }
}
