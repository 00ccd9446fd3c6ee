//! The tables and how far they are migrated.

use crate::{
    Error, Store,
    migration::{self, Move, plan},
};

/// A migration and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStep {
    /// Its name, such as `m0008_outbox_key`.
    pub name: String,
    /// How it is.
    pub state: MigrationState,
}

/// How a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// It was applied.
    Applied,
    /// It was not applied.
    Pending,
    /// A newer program has applied it, and it only added.
    Newer,
}

/// What a migration run does with one migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationMove {
    /// Applies it.
    Up(String),
    /// Reverts it, with the data that it added.
    Down(String),
}

impl Store {
    /// Brings the tables to what this version needs. Processes that do so at once wait for each other.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::MigrationHeld`], [`Error::Unavailable`] or [`Error::Database`].
    pub async fn migrate(&self) -> Result<(), Error> {
        if self.is_migrated().await? {
            return Ok(()); // without a lock, also where the database is read-only
        }
        migration::run(&self.db, migration::names().len()).await
    }

    /// Brings the tables to where `step` is the last one that is applied, up or down. `step` is a name or its number:
    /// `m0008`.
    ///
    /// # Errors
    /// [`Error::UnknownStep`], [`Error::Newer`] if newer steps would have to be taken back first,
    /// [`Error::MigrationHeld`], [`Error::Unavailable`] or [`Error::Database`].
    pub async fn migrate_to(&self, step: &str) -> Result<(), Error> {
        migration::run(&self.db, target(Some(step))?).await
    }

    /// Takes every migration back: all data is gone.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::MigrationHeld`], [`Error::Unavailable`] or [`Error::Database`].
    pub async fn unmigrate(&self) -> Result<(), Error> {
        migration::run(&self.db, 0).await
    }

    /// Returns what [`migrate`](Self::migrate), or [`migrate_to`](Self::migrate_to) this step, would do. Changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownStep`], [`Error::Newer`], [`Error::Unavailable`] or [`Error::Database`].
    pub async fn plan(&self, step: Option<&str>) -> Result<Vec<MigrationMove>, Error> {
        let (known, target) = (migration::names(), target(step)?);
        let mut applied = migration::applied(&self.db.read).await?;
        let mut moves = Vec::new();
        while let Some(next) = plan::next(&known, &applied.names, target) {
            migration::check_known(&known, &applied, matches!(next, Move::Down(_)))?;
            moves.push(match next {
                Move::Up(at) => {
                    applied.names.insert(known[at].clone());
                    MigrationMove::Up(known[at].clone())
                }
                Move::Down(at) => {
                    applied.names.remove(&known[at]);
                    MigrationMove::Down(known[at].clone())
                }
            });
        }
        Ok(moves)
    }

    /// Returns every migration, in order, then those of newer versions.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn migrations(&self) -> Result<Vec<MigrationStep>, Error> {
        let (known, applied) = (migration::names(), migration::applied(&self.db.read).await?.names);
        let newer: Vec<_> = applied.iter().filter(|name| !known.contains(name)).cloned().collect();
        let state = |name| if applied.contains(name) { MigrationState::Applied } else { MigrationState::Pending };
        let steps = known.iter().map(|name| MigrationStep { name: name.clone(), state: state(name) });
        let newer = newer.into_iter().map(|name| MigrationStep { name, state: MigrationState::Newer });
        Ok(steps.chain(newer).collect())
    }

    /// Returns whether the tables are what this version needs. Newer tables are, if what was done to them only added;
    /// that is logged as a warning.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Unavailable`] or [`Error::Database`].
    pub async fn is_migrated(&self) -> Result<bool, Error> {
        let (known, applied) = (migration::names(), migration::applied(&self.db.read).await?);
        migration::check_known(&known, &applied, false)?;
        let newer: Vec<_> = applied.names.iter().filter(|name| !known.contains(name)).map(String::as_str).collect();
        if !newer.is_empty() {
            let migrations = newer.join(", ");
            tracing::warn!(migrations, "The database is newer than this version of the program, which works with it");
        }
        Ok(known.iter().all(|name| applied.names.contains(name)))
    }
}

/// How many migrations are applied once `step` is the last one, or all of them.
fn target(step: Option<&str>) -> Result<usize, Error> {
    let known = migration::names();
    let Some(step) = step else { return Ok(known.len()) };
    plan::find(&known, step).map(|at| at + 1).ok_or_else(|| Error::UnknownStep(step.to_owned()))
}
