//! The tables, step by step. A step that has been released is never changed: a new one follows it.

mod m0001_accounts;
mod m0002_exams;
mod m0003_mail_outbox;
mod m0004_cache_outbox;
mod m0005_attempts;
mod m0006_outbox_open;
mod m0007_outbox_trace;
mod m0008_outbox_key;
mod m0009_email_keys;
mod m0010_schema_needs;
mod m0011_prune_indexes;
mod m0012_access;
mod m0015_idempotency_keys;
mod m0016_outbox_claims;
mod m0017_sign_ups;
mod m0018_cache_outbox_seq;
mod m0019_mail_preferences;
mod m0020_console;
mod m0022_outbox_recipient;
mod m0023_running_exams;
mod m0024_audit;
mod m0025_regrades;
mod m0026_account_life;
mod m0027_seats;
mod m0028_invitations;
mod m0029_former_addresses;
pub(crate) mod plan;
mod run;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

pub(crate) use self::{
    plan::Move,
    run::{Applied, applied, run},
};
use crate::Error;

/// Steps after which older programs do not work any more: those that rename, drop or narrow what older programs use.
/// A program that does not know one of them refuses to start. All others only add, and older programs go on working.
const BREAKING: &[&str] = &[];

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_accounts::Step),
            Box::new(m0002_exams::Step),
            Box::new(m0003_mail_outbox::Step),
            Box::new(m0004_cache_outbox::Step),
            Box::new(m0005_attempts::Step),
            Box::new(m0006_outbox_open::Step),
            Box::new(m0007_outbox_trace::Step),
            Box::new(m0008_outbox_key::Step),
            Box::new(m0009_email_keys::Step),
            Box::new(m0010_schema_needs::Step),
            Box::new(m0011_prune_indexes::Step),
            Box::new(m0012_access::Step),
            Box::new(m0015_idempotency_keys::Step),
            Box::new(m0016_outbox_claims::Step),
            Box::new(m0017_sign_ups::Step),
            Box::new(m0018_cache_outbox_seq::Step),
            Box::new(m0019_mail_preferences::Step),
            Box::new(m0020_console::Step),
            Box::new(m0022_outbox_recipient::Step),
            Box::new(m0023_running_exams::Step),
            Box::new(m0024_audit::Step),
            Box::new(m0025_regrades::Step),
            Box::new(m0026_account_life::Step),
            Box::new(m0027_seats::Step),
            Box::new(m0028_invitations::Step),
            Box::new(m0029_former_addresses::Step),
        ]
    }
}

/// The names of all migrations, in order.
pub(crate) fn names() -> Vec<String> {
    Migrator::migrations().iter().map(|step| step.name().to_owned()).collect()
}

/// Checks that this program may use the tables; or go down, for which it must know every migration.
///
/// # Errors
/// Returns [`Error::Newer`] with the name of the first migration that it does not know.
pub(crate) fn check_known(known: &[String], applied: &Applied, goes_down: bool) -> Result<(), Error> {
    let needed = if goes_down { &applied.names } else { &applied.needs };
    needed.iter().find(|name| !known.contains(name)).map_or(Ok(()), |name| Err(Error::Newer(name.clone())))
}
