//! Questions and their rows, alone and with their exam.

use examhall_core::{ExamId, Question, QuestionId};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, IdenStatic,
    Iterable, QueryFilter, QuerySelect, Statement,
};
use uuid::Uuid;

use crate::{
    Error,
    entity::{exam, question},
};

/// Reads an exam with its questions in order, in one statement, so both are of one moment. What is long of the exam comes
/// with the first question alone: a join repeats it with each.
pub(crate) async fn read_with_questions(
    db: &impl ConnectionTrait,
    id: ExamId,
) -> Result<(exam::Model, Vec<question::Model>), Error> {
    let of_exam = exam::Column::iter().map(|column| match column {
        exam::Column::Title | exam::Column::Description => {
            let name = column.as_str();
            format!("CASE WHEN ROW_NUMBER() OVER (ORDER BY q.position, q.id) = 1 THEN e.{name} ELSE '' END AS e_{name}")
        }
        other => format!("e.{0} AS e_{0}", other.as_str()),
    });
    let of_question = question::Column::iter().map(|column| format!("q.{0} AS q_{0}", column.as_str()));
    let columns: Vec<_> = of_exam.chain(of_question).collect();
    let sql = format!(
        "SELECT {} FROM exams e LEFT JOIN questions q ON q.exam_id = e.id WHERE e.id = $1 ORDER BY q.position, q.id",
        columns.join(", ")
    );
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [id.0.into()]);
    let rows = db.query_all_raw(statement).await?;
    let exam = exam::Model::from_query_result(rows.first().ok_or(Error::NotFound)?, "e_")?;
    let questions = rows.iter().map(|row| question::Model::from_query_result_optional(row, "q_"));
    let questions = questions.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok((exam, questions))
}

/// The questions that an exam has now.
pub(crate) async fn ids(db: &impl ConnectionTrait, exam: ExamId) -> Result<Vec<QuestionId>, Error> {
    let of_exam = question::Entity::find().filter(question::Column::ExamId.eq(exam.0));
    let ids: Vec<Uuid> = of_exam.select_only().column(question::Column::Id).into_tuple().all(db).await?;
    Ok(ids.into_iter().map(QuestionId).collect())
}

pub(crate) async fn insert(
    tx: &DatabaseTransaction,
    exam: ExamId,
    first: i32,
    questions: &[Question],
) -> Result<(), Error> {
    let rows = (first..).zip(questions).map(|(position, question)| {
        Ok(question::ActiveModel {
            id: Set(question.id.0),
            exam_id: Set(exam.0),
            position: Set(position),
            text: Set(question.text.clone()),
            points: Set(question.points),
            kind: Set(to_json(question)?),
        })
    });
    let rows: Vec<_> = rows.collect::<Result<_, Error>>()?;
    for rows in rows.chunks(1000) {
        let inserted = question::Entity::insert_many(rows.to_vec()).exec_without_returning(tx).await;
        inserted.map_err(|error| {
            let error = Error::from(error);
            if error.is_duplicate() { Error::IdTaken } else { error }
        })?;
    }
    Ok(())
}

pub(super) fn to_json(question: &Question) -> Result<serde_json::Value, Error> {
    serde_json::to_value(&question.kind).map_err(|_| Error::Corrupt { table: "questions", column: "kind" })
}

pub(crate) fn to_question(row: question::Model) -> Result<Question, Error> {
    let kind = serde_json::from_value(row.kind);
    Ok(Question {
        id: QuestionId(row.id),
        text: row.text,
        points: row.points,
        kind: kind.map_err(|_| Error::Corrupt { table: "questions", column: "kind" })?,
    })
}
