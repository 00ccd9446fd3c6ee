//! Mails that cannot be read or queued are no head-of-line block.

use std::time::Duration;

use examhall_core::Timestamp;
use examhall_store::MailOutcome;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{Fresh, NOW, on_both, outbox::mail};

on_both!(
    unreadable_rows_are_closed_as_failed_by_their_claim,
    a_mail_that_is_never_queued_waits_longer_each_time,
    mails_claimed_before_hold_up_no_new_ones,
    the_newest_of_each_priority_pass_a_backlog,
);

const LEASE: Duration = Duration::from_secs(30);

async fn claim(fresh: &Fresh, limit: u64, now: Timestamp) -> Vec<Uuid> {
    let claimed = fresh.store.outbox.claim(limit, LEASE, now).await.expect("claimed");
    claimed.into_iter().map(|waiting| waiting.mail.id).collect()
}

async fn add(fresh: &Fresh, priority: u8) -> Uuid {
    let mail = mail(priority);
    fresh.store.outbox.add(&mail, NOW).await.expect("added");
    mail.id
}

async fn run(fresh: &Fresh, statement: &str) {
    let connection = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    connection.execute_unprepared(statement).await.expect("run");
    connection.close().await.expect("closed");
}

async fn unreadable_rows_are_closed_as_failed_by_their_claim(fresh: Fresh) {
    let (bad, good) = (add(&fresh, 10).await, add(&fresh, 5).await);
    // PostgreSQL itself keeps other types out of a column: there, only a number can be wrong.
    let damage = match fresh.database {
        examhall_testkit::Database::Sqlite(_) => "UPDATE mail_outbox SET params = 'no JSON' WHERE priority = 10",
        examhall_testkit::Database::Postgres(_) => "UPDATE mail_outbox SET priority = 999 WHERE priority = 10",
    };
    run(&fresh, damage).await;
    assert_eq!(claim(&fresh, 10, NOW).await, [good]);
    run(&fresh, "UPDATE mail_outbox SET params = '{}', priority = 10 WHERE priority <> 5").await;
    let record = fresh.store.outbox.get(bad).await.expect("asked").expect("found");
    assert_eq!((record.outcome, record.outcome_at), (Some(MailOutcome::Failed), Some(NOW)));
    assert!(claim(&fresh, 10, NOW).await.is_empty());
}

async fn a_mail_that_is_never_queued_waits_longer_each_time(fresh: Fresh) {
    let id = add(&fresh, 10).await;
    let mut now = NOW;
    for minutes in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10] {
        assert_eq!(claim(&fresh, 10, now).await, [id], "{minutes}");
        let wait = Duration::from_mins(minutes).max(LEASE);
        let early = now.plus(wait).minus(Duration::from_millis(1));
        assert!(claim(&fresh, 10, early).await.is_empty(), "{minutes}");
        now = now.plus(wait);
    }
    assert_eq!(claim(&fresh, 10, now).await, [id]);
    fresh.store.outbox.release(&[id]).await.expect("released");
    assert_eq!(claim(&fresh, 10, now).await, [id], "the fault was not its own");
    let later = now.plus(LEASE);
    assert_eq!(claim(&fresh, 10, later).await, [id], "so it is new again");
    // Set by a clock that ran ahead.
    run(&fresh, "UPDATE mail_outbox SET claimed_until = NULL, run_at = 9000000000000000").await;
    assert_eq!(claim(&fresh, 10, later).await, [id]);
}

async fn mails_claimed_before_hold_up_no_new_ones(fresh: Fresh) {
    for _ in 0..100 {
        add(&fresh, 10).await;
    }
    assert_eq!(claim(&fresh, 100, NOW).await.len(), 100);
    let later = NOW.plus(LEASE);
    let new = add(&fresh, 1).await;
    let claimed = claim(&fresh, 20, later).await;
    assert_eq!((claimed.len(), claimed.last()), (6, Some(&new)), "the new one, and a quarter of a batch");
}

async fn the_newest_of_each_priority_pass_a_backlog(fresh: Fresh) {
    for _ in 0..200 {
        add(&fresh, 10).await;
    }
    let new = [add(&fresh, 10).await, add(&fresh, 5).await, add(&fresh, 1).await];
    let claimed = fresh.store.outbox.claim_with_newest(40, LEASE, NOW).await.expect("claimed");
    let claimed: Vec<_> = claimed.into_iter().map(|waiting| waiting.mail.id).collect();
    assert!(new.iter().all(|id| claimed.contains(id)), "{claimed:?}");
    assert_eq!(claimed.len(), 24, "20 of the oldest, and up to 2 of each priority");
}
