//! What all requests share.

use std::{sync::Arc, time::SystemTime};

use actix_web::web::Bytes;
use examhall_cache::Cache;
use examhall_core::{EmailJob, Timestamp};
use examhall_delivery::{Ledger, Operations, Suppressions};
use examhall_queue::Queue;
use examhall_store::Store;
use tokio::sync::{Notify, watch};

use crate::{
    auth::{Passwords, revocations::Revocations},
    hooks::Hooks,
    http::public_path::PublicPath,
    limits::Limits,
    mail::{MailComposer, Previews},
    papers::Papers,
    seats::KnownSeats,
    site::Site,
    sitters::Sitters,
    statistics::StatisticsCache,
    templates::Templates,
};

/// What all requests share.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) cache: Cache,
    pub(crate) queue: Queue<EmailJob>,
    /// What the mailer knows of mails, whatever became of their jobs.
    pub(crate) ledger: Ledger,
    /// What operators see of the mail service.
    pub(crate) operations: Operations,
    /// Addresses that no mail goes to.
    pub(crate) suppressions: Suppressions,
    /// Takes what providers report of mails.
    pub(crate) hooks: Hooks,
    pub(crate) passwords: Passwords,
    pub(crate) mail_composer: MailComposer,
    /// Mails with made-up contents, to look at.
    pub(crate) previews: Previews,
    /// Of mails and of the pages that they link to.
    pub(crate) templates: Arc<Templates>,
    pub(crate) limits: Limits,
    /// Whose access tokens are refused before their time is over.
    pub(crate) revocations: Arc<Revocations>,
    /// Answer keys, ready to grade.
    pub(crate) papers: Papers,
    /// Students who may read questions since they sit an exam.
    pub(crate) sitters: Sitters,
    /// Students who have a seat in an exam with a roster.
    pub(crate) seats: KnownSeats,
    /// How exams went.
    pub(crate) statistics: StatisticsCache,
    /// The path of `PUBLIC_URL`, which clients see before ours.
    pub(crate) public_path: PublicPath,
    /// What `/openapi.json` answers.
    pub(crate) api_document: Bytes,
    /// What pages show of this installation.
    pub(crate) site: Arc<Site>,
    /// Counts changes of the queue, and actions of operators: who looks on is notified.
    pub(crate) changes: watch::Sender<u64>,
    /// Wakes the relay: a mail was committed.
    pub(crate) wake: Notify,
    /// Wakes who grades again: an author has asked for it.
    pub(crate) regrade: Notify,
}

impl State {
    /// Hangs up on Redis and the database.
    pub(crate) async fn close(&self) {
        self.cache.close().await;
        self.queue.connection().close().await;
        self.store.clone().close().await;
    }
}

/// The only clock of this crate.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}
