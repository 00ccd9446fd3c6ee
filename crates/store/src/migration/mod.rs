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
mod m0012_access;
mod m0016_outbox_claims;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

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
            Box::new(m0012_access::Step),
            Box::new(m0016_outbox_claims::Step),
        ]
    }
}
