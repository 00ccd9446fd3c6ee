//! Rosters as they are uploaded, and what they change.

use std::collections::{HashMap, HashSet};

use examhall_core::{ExamId, Timestamp, UserId};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, JoinType, QueryFilter, QuerySelect, QueryTrait,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    CHUNK, RosterChange, RosterEntry, SeatSource, Seats,
    row::{insert, rename, to_row},
};
use crate::{
    Error,
    audit::{self, Entry},
    entity::{former_address, seat, seat::Column, user},
    exams::row::lock,
};

/// A seat that there is.
struct Held {
    id: Uuid,
    source: String,
    name: String,
}

/// What a roster makes of the seats that there are.
#[derive(Default)]
struct Plan {
    new: Vec<seat::ActiveModel>,
    /// Seats with another name.
    renamed: Vec<seat::ActiveModel>,
    kept: u64,
    /// Seats that it does not name.
    others: Vec<Held>,
}

impl Seats {
    /// Puts students on a roster; with `instead` those and no others. All of them or none. Seats that were got by a code stay;
    /// one that has gone with its account to another address is meant by its former address, too.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn fill(
        &self,
        exam: ExamId,
        entries: &[RosterEntry],
        instead: bool,
        by: UserId,
        now: Timestamp,
    ) -> Result<RosterChange, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                lock(&tx, exam, None).await?;
                let plan = Plan::of(held(&tx, exam).await?, &former(&tx, exam).await?, (exam, entries), now);
                for rows in plan.new.chunks(CHUNK) {
                    insert(&tx, rows.to_vec()).await?;
                }
                for rows in plan.renamed.chunks(CHUNK) {
                    rename(&tx, rows.to_vec()).await?;
                }
                let mut change = RosterChange { added: plan.new.len() as u64, kept: plan.kept, removed: 0 };
                if instead {
                    let is_on_roster = |held: &&Held| held.source == SeatSource::Roster.as_str();
                    let gone: Vec<Uuid> = plan.others.iter().filter(is_on_roster).map(|held| held.id).collect();
                    change.removed = gone.len() as u64;
                    for ids in gone.chunks(CHUNK) {
                        seat::Entity::delete_many().filter(Column::Id.is_in(ids.iter().copied())).exec(&tx).await?;
                    }
                }
                let after = json!({"added": change.added, "kept": change.kept, "removed": change.removed});
                let entry = Entry::of_exam(by, "change roster", exam).changing(Value::Null, after);
                audit::write(&tx, entry.affecting(change.added + change.removed), now).await?;
                tx.commit().await?;
                Ok(change)
            })
            .await
    }
}

impl Plan {
    /// `former` leads from former addresses to those of now.
    fn of(
        mut held: HashMap<String, Held>,
        former: &HashMap<String, String>,
        (exam, entries): (ExamId, &[RosterEntry]),
        now: Timestamp,
    ) -> Self {
        let (mut plan, mut named) = (Self::default(), HashSet::new());
        for entry in entries {
            let mut key = entry.email.canonical();
            if let Some(moved) = former.get(&key).filter(|_| !held.contains_key(&key) && !named.contains(&key)) {
                key.clone_from(moved);
            }
            match held.remove(&key) {
                Some(seat) => {
                    plan.kept += 1;
                    if !entry.name.is_empty() && entry.name != seat.name {
                        plan.renamed.push(to_row(exam, entry, key.clone(), now));
                    }
                }
                None if named.contains(&key) => {}
                None => plan.new.push(to_row(exam, entry, key.clone(), now)),
            }
            named.insert(key);
        }
        plan.others = held.into_values().collect();
        plan
    }
}

/// The seats of an exam, by address.
async fn held(tx: &DatabaseTransaction, exam: ExamId) -> Result<HashMap<String, Held>, Error> {
    let seats = seat::Entity::find().filter(Column::ExamId.eq(exam.0)).select_only();
    let seats = seats.columns([Column::EmailKey, Column::Id, Column::Source, Column::Name]);
    let seats: Vec<(String, Uuid, String, String)> = seats.into_tuple().all(tx).await?;
    Ok(seats.into_iter().map(|(key, id, source, name)| (key, Held { id, source, name })).collect())
}

/// Former addresses of the seats of an exam, with those of now. One that another account has proven to be its own by now is
/// that account's.
async fn former(tx: &DatabaseTransaction, exam: ExamId) -> Result<HashMap<String, String>, Error> {
    let owned = user::Entity::find().filter(user::Column::VerifiedAt.is_not_null());
    let owned = owned.select_only().column(user::Column::EmailKey).into_query();
    let to_seat =
        former_address::Entity::belongs_to(seat::Entity).from(former_address::Column::SeatId).to(Column::Id).into();
    let former = former_address::Entity::find().join(JoinType::InnerJoin, to_seat);
    let former = former.filter(Column::ExamId.eq(exam.0).and(former_address::Column::EmailKey.not_in_subquery(owned)));
    let former = former.select_only().column(former_address::Column::EmailKey).column(Column::EmailKey);
    let former: Vec<(String, String)> = former.into_tuple().all(tx).await?;
    Ok(former.into_iter().collect())
}
