//! More time for single students, granted before they start.

use examhall_core::{Accommodation, Allowance, ExamId, Timestamp, UserId};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::OnConflict,
};
use serde_json::{Value, json};

use crate::{
    Error, Exams, Listed, Page,
    audit::{self, Entry},
    entity::{accommodation as row, user},
    exams::row::lock,
};

/// A student with the time that they are granted.
#[derive(Clone, Debug, PartialEq)]
pub struct Accommodated {
    /// The student.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// Their address.
    pub email: String,
    /// What they are granted.
    pub accommodation: Accommodation,
}

impl Exams {
    /// Grants a student more time in the attempts that they start from now on, in place of what they were granted before;
    /// `None` takes it back. Returns whether something has changed.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such exam or account, [`Error::Unavailable`].
    pub async fn accommodate(
        &self,
        exam: ExamId,
        student: UserId,
        granted: Option<Accommodation>,
        by: UserId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let of_student = row::Column::ExamId.eq(exam.0).and(row::Column::UserId.eq(student.0));
        self.db()
            .retry(|| async {
                let tx = self.db().begin().await?;
                lock(&tx, exam, None).await?;
                user::Entity::find_by_id(student.0).one(&tx).await?.ok_or(Error::NotFound)?;
                let before = row::Entity::find().filter(of_student.clone()).one(&tx).await?;
                let before = before.map(|row| to_accommodation((row.percent, row.minutes)));
                if before == granted {
                    return Ok(false);
                }
                match granted {
                    None => row::Entity::delete_many().filter(of_student.clone()).exec(&tx).await.map(drop)?,
                    Some(granted) => {
                        let (percent, minutes) = to_columns(granted);
                        let row = row::ActiveModel {
                            exam_id: Set(exam.0),
                            user_id: Set(student.0),
                            percent: Set(percent),
                            minutes: Set(minutes),
                        };
                        let mut again = OnConflict::columns([row::Column::ExamId, row::Column::UserId]);
                        again.update_columns([row::Column::Percent, row::Column::Minutes]);
                        row::Entity::insert(row).on_conflict(again).exec_without_returning(&tx).await?;
                    }
                }
                let json = |granted: Option<Accommodation>| granted.map_or(Value::Null, |granted| json!(granted));
                let entry = Entry::of_exam(by, "accommodate", exam).about(student);
                audit::write(&tx, entry.changing(json(before), json(granted)), now).await?;
                tx.commit().await?;
                Ok(true)
            })
            .await
    }

    /// The students that are granted more time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn accommodations(&self, exam: ExamId, page: Page) -> Result<Listed<Accommodated>, Error> {
        let mut found = row::Entity::find()
            .filter(row::Column::ExamId.eq(exam.0))
            .order_by_asc(row::Column::UserId)
            .limit(page.fetch());
        if let Some(after) = page.after {
            found = found.filter(row::Column::UserId.gt(after));
        }
        let Listed { items, next } = page.cut(found.all(&self.db().read).await?, |row: &row::Model| row.user_id);
        let ids = items.iter().map(|row| row.user_id);
        let users = user::Entity::find().filter(user::Column::Id.is_in(ids)).all(&self.db().read).await?;
        let accommodated = |row: row::Model| {
            let student = users.iter().find(|user| user.id == row.user_id)?;
            Some(Accommodated {
                user: UserId(row.user_id),
                name: student.name.clone(),
                email: student.email.clone(),
                accommodation: to_accommodation((row.percent, row.minutes)),
            })
        };
        Ok(Listed { items: items.into_iter().filter_map(accommodated).collect(), next })
    }
}

/// The columns `percent` and `minutes` of what a student is granted.
fn to_columns(granted: Accommodation) -> (i32, i32) {
    let Allowance { percent, .. } = granted.allowance();
    (i32::try_from(percent).unwrap_or(i32::MAX), i32::try_from(granted.minutes.unwrap_or(0)).unwrap_or(i32::MAX))
}

/// What a student is granted, of the columns `percent` and `minutes`.
fn to_accommodation((percent, minutes): (i32, i32)) -> Accommodation {
    let minutes = u32::try_from(minutes).unwrap_or(0);
    Accommodation {
        factor: (percent != 100).then(|| f64::from(percent) / 100.0),
        minutes: (minutes != 0).then_some(minutes),
    }
}

pub(crate) fn to_allowance(columns: (i32, i32)) -> Allowance {
    to_accommodation(columns).allowance()
}
