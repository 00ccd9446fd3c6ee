//! Handing in what students left open, in batches that several processes share.

use examhall_core::{Attempt, AttemptId, ExamId, Timestamp};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use uuid::Uuid;

use super::{
    Attempts,
    row::Sitting,
    submit::{Graded, Grading, insert},
};
use crate::{Error, PreparedPaper};

/// How far a round through overdue attempts has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(i64, Uuid);

/// What came of a batch.
#[derive(Debug, Default)]
pub struct Swept {
    /// Attempts that were submitted.
    pub done: Vec<AttemptId>,
    /// Attempts that cannot be submitted, and why.
    pub stuck: Vec<(AttemptId, Error)>,
    /// Attempts that are as they were, since the paper of this exam at this version was not at hand.
    pub needs: Vec<(AttemptId, ExamId, i64)>,
    /// Where the next batch begins; absent after the last one.
    pub next: Option<Place>,
}

impl Place {
    /// Where a round begins.
    pub const START: Self = Self(i64::MIN, Uuid::nil());
}

impl Attempts {
    /// Submits up to `limit` open attempts that take no answers any more, oldest deadline first, from `after` on, in one
    /// transaction. On PostgreSQL each of several processes takes attempts that no other holds.
    ///
    /// # Errors
    /// [`Error::Unavailable`]. Attempts that cannot be submitted are no error.
    pub async fn sweep(
        &self,
        after: Place,
        limit: u64,
        grading: &impl Grading,
        now: Timestamp,
    ) -> Result<Swept, Error> {
        self.db
            .retry(|| async {
                let last_deadline = now.as_millis() - i64::try_from(Attempt::GRACE.as_millis()).unwrap_or(0);
                let tx = self.db.begin().await?;
                let sittings = Sitting::claim(&tx, (after.0, after.1), limit, last_deadline).await?;
                let mut swept = Swept::default();
                if sittings.len() as u64 >= limit {
                    swept.next = sittings.last().map(|last| Place(last.deadline, last.id));
                }
                let mut graded = Vec::new();
                for sitting in &sittings {
                    match grading.paper(sitting.exam(), sitting.version) {
                        None => swept.needs.push((AttemptId(sitting.id), sitting.exam(), sitting.version)),
                        Some(paper) => match grade(sitting, &paper, grading, now) {
                            Ok(one) => graded.push(one),
                            Err(error) => swept.stuck.push((AttemptId(sitting.id), error)),
                        },
                    }
                }
                insert_each(&tx, &graded, now, &mut swept).await?;
                tx.commit().await?;
                Ok(swept)
            })
            .await
    }
}

fn grade(sitting: &Sitting, paper: &PreparedPaper, grading: &impl Grading, now: Timestamp) -> Result<Graded, Error> {
    Graded::of(sitting, &sitting.answers()?, paper, grading, now)
}

/// Writes all at once; where that fails, one by one, so that one which cannot be written holds up no other.
async fn insert_each(
    tx: &DatabaseTransaction,
    graded: &[Graded],
    now: Timestamp,
    swept: &mut Swept,
) -> Result<(), Error> {
    if graded.is_empty() {
        return Ok(());
    }
    if let Err(error) = insert_apart(tx, graded, now).await {
        if is_of_all(&error) {
            return Err(error);
        }
        for one in graded {
            match insert_apart(tx, std::slice::from_ref(one), now).await {
                Ok(()) => swept.done.push(one.attempt()),
                Err(error) if is_of_all(&error) => return Err(error),
                Err(error) => swept.stuck.push((one.attempt(), error)),
            }
        }
    } else {
        swept.done.extend(graded.iter().map(Graded::attempt));
    }
    Ok(())
}

const fn is_of_all(error: &Error) -> bool {
    matches!(error, Error::Unavailable(_) | Error::ReadOnly)
}

/// Within a savepoint: what fails takes back nothing else.
async fn insert_apart(tx: &DatabaseTransaction, graded: &[Graded], now: Timestamp) -> Result<(), Error> {
    let savepoint = tx.begin().await?;
    insert(&savepoint, graded, now).await?;
    savepoint.commit().await?;
    Ok(())
}
