//! Makes exams.

use examhall_core::{Admission, Exam, ExamId, ExamStatus, PaperPolicy, Question, ResultPolicy, Timestamp, UserId};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DatabaseTransaction};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Exams,
    row::{to_exam, to_i32},
};
use crate::{
    Error, FirstAnswer, IdempotentRequest, Versioned,
    audit::{self, Entry},
    entity::exam,
    questions::row as question_row,
};

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
    /// How often a student may sit it.
    pub max_attempts: u32,
    /// Percentage of the points from which it is passed.
    pub pass_mark: u8,
    /// From then on students may start.
    pub opens_at: Option<Timestamp>,
    /// From then on nobody may start.
    pub closes_at: Option<Timestamp>,
    /// Whether each attempt has an order of its own.
    pub shuffle: bool,
    /// When students may read the questions.
    pub paper: PaperPolicy,
    /// When students see their results; that of the number of attempts where absent.
    pub results: Option<ResultPolicy>,
    /// Whether students see the points of each question with their result.
    pub show_marks: bool,
    /// Whether students may read the questions again once they see their result.
    pub review: bool,
    /// Which students may sit it.
    pub access: Admission,
    /// PHC string of its code.
    pub access_code: Option<String>,
    /// How far it has come.
    pub status: ExamStatus,
    /// How each question is asked, what it is worth, and its key.
    pub questions: Vec<Question>,
}

impl Exams {
    /// Makes an exam with its questions.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn create(&self, new: &NewExam, now: Timestamp) -> Result<Versioned<Exam>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let made = insert(&tx, new, now).await?;
                tx.commit().await?; // its id is new: nobody has asked for it, so nothing is cached
                Ok(made)
            })
            .await
    }

    /// Makes an exam with its questions, once for all repetitions of `request`; returns the answer to the first.
    ///
    /// # Errors
    /// [`Error::KeyReused`], [`Error::Unavailable`].
    pub async fn create_idempotent(
        &self,
        new: &NewExam,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<FirstAnswer, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                if let Some(first) = request.reserve(&tx, now).await? {
                    return Ok(first);
                }
                let made = insert(&tx, new, now).await?;
                let first = FirstAnswer::new(made.value.id.0, made.version, serde_json::to_string(&made.value))?;
                request.store(&tx, &first).await?;
                tx.commit().await?;
                Ok(first)
            })
            .await
    }
}

async fn insert(tx: &DatabaseTransaction, new: &NewExam, now: Timestamp) -> Result<Versioned<Exam>, Error> {
    let id = ExamId(Uuid::now_v7());
    let row = exam::ActiveModel {
        id: Set(id.0),
        author_id: Set(new.author_id.0),
        title: Set(new.title.clone()),
        description: Set(new.description.clone()),
        duration_minutes: Set(to_i32(new.duration_minutes)),
        max_attempts: Set(to_i32(new.max_attempts)),
        pass_mark: Set(i32::from(new.pass_mark)),
        opens_at: Set(new.opens_at.map(Timestamp::as_millis)),
        closes_at: Set(new.closes_at.map(Timestamp::as_millis)),
        shuffle: Set(new.shuffle),
        paper: Set(new.paper.as_str().to_owned()),
        results: Set(new.results.map(|results| results.as_str().to_owned())),
        show_marks: Set(new.show_marks),
        review: Set(new.review),
        access: Set(new.access.as_str().to_owned()),
        access_code: Set(new.access_code.clone()),
        results_published_at: Set(None),
        status: Set(new.status.as_str().to_owned()),
        version: Set(1),
        created_at: Set(now.as_millis()),
        updated_at: Set(now.as_millis()),
    };
    let row = row.insert(tx).await?;
    question_row::insert(tx, id, 0, &new.questions).await?;
    let after = json!({"title": new.title, "status": new.status});
    audit::write(tx, Entry::of_exam(new.author_id, "create exam", id).changing(Value::Null, after), now).await?;
    to_exam(row) // what is committed can be answered
}
