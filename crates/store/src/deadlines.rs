//! Deadlines of open attempts, moved in the transaction that changes their exam. The exam's row is locked, so no attempt is
//! started meanwhile; one that is being submitted is waited for, and left as it is.

use examhall_core::{Exam, ExamId, Timestamp};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, ExprTrait, QueryFilter, QuerySelect,
    Statement, Value,
};

use crate::{
    Error,
    entity::attempt::{self, Column},
};

/// A moment after every other one, with which sums do not overflow.
const NEVER: i64 = 1 << 60;

/// Computes the deadlines of an exam's open attempts from the exam as it is now; returns how many are open. None is moved
/// further back than `now`: what students have not saved yet still arrives.
pub(crate) async fn follow(tx: &DatabaseTransaction, exam: &Exam, now: Timestamp) -> Result<u64, Error> {
    let backend = tx.get_database_backend();
    let least = least(backend);
    let moved = format!("({least}(started_at + $1, $2) + $1 * (time_percent - 100) / 100 + extra_ms)");
    let sql = format!(
        "UPDATE attempts SET deadline = CASE WHEN {moved} < $3 THEN {least}(deadline, $3) ELSE {moved} END \
         WHERE exam_id = $4 AND submitted_at IS NULL"
    );
    let closes_at = exam.closes_at.map_or(NEVER, Timestamp::as_millis);
    let values: [Value; 4] = [exam.duration_ms().into(), closes_at.into(), now.as_millis().into(), exam.id.0.into()];
    Ok(tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected())
}

/// Ends an exam's open attempts, at the latest then; returns how many are open.
pub(crate) async fn end(tx: &DatabaseTransaction, exam: ExamId, at: Timestamp) -> Result<u64, Error> {
    let backend = tx.get_database_backend();
    let least = least(backend);
    let sql =
        format!("UPDATE attempts SET deadline = {least}(deadline, $1) WHERE exam_id = $2 AND submitted_at IS NULL");
    let values: [Value; 2] = [at.as_millis().into(), exam.0.into()];
    Ok(tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected())
}

/// When the last of an exam's open attempts ends; `None` where none is open.
pub(crate) async fn last(tx: &DatabaseTransaction, exam: ExamId) -> Result<Option<Timestamp>, Error> {
    let of_exam = Column::ExamId.eq(exam.0).and(Column::SubmittedAt.is_null());
    let last = attempt::Entity::find().filter(of_exam).select_only().column_as(Column::Deadline.max(), "last");
    let last: Option<Option<i64>> = last.into_tuple().one(tx).await?;
    Ok(last.flatten().map(Timestamp::from_millis))
}

/// Name of the function that returns the least of its arguments.
const fn least(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "LEAST",
        _ => "MIN",
    }
}
