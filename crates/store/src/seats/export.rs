//! The seats of a student, for their own copy of their data.

use std::collections::HashMap;

use examhall_core::{Exam, ExamStatus, UserId};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Seat, Seats, is_of, row::to_seat};
use crate::{
    Error,
    entity::{exam, seat, seat::Column},
    exams::row::to_exam,
};

/// Seats that are exported at most: the newest ones.
const MOST: u64 = 10_000;

impl Seats {
    /// A student's seats, newest first, each with its exam; without those in drafts, of which no student knows.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn of_user(&self, user: UserId) -> Result<Vec<(Seat, Exam)>, Error> {
        let seats = seat::Entity::find().filter(is_of(user)).order_by_desc(Column::Id).limit(MOST);
        let seats = seats.all(&self.db.read).await?;
        let exams = exam::Entity::find().filter(exam::Column::Id.is_in(seats.iter().map(|seat| seat.exam_id)));
        let exams = exams.filter(exam::Column::Status.ne(ExamStatus::Draft.as_str())).all(&self.db.read).await?;
        let exams: HashMap<_, _> = exams.into_iter().map(|row| (row.id, row)).collect();
        let with_exam = |seat: seat::Model| Some((exams.get(&seat.exam_id)?.clone(), seat));
        let found = seats.into_iter().filter_map(with_exam);
        found.map(|(exam, seat)| Ok((to_seat(seat), to_exam(exam)?.value))).collect()
    }
}
