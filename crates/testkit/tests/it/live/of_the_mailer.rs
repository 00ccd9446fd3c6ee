//! Alerts on mails and mailers.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use examhall_testkit::{Action, Encryption, Phase, SmtpOptions, SmtpServer, World};

use super::Live;
use crate::database::{commit_mails, sql};

/// Between batches of mails; some are scraped between two.
const BATCH: Duration = Duration::from_secs(20);

/// Of twenty mails two are refused so, of different priorities: many in a row would be the provider's trouble.
async fn some_are_refused() -> Live {
    let live = Live::start(World::start().await).await;
    let reply = "550 5.7.1 message refused by policy".to_owned(); // which suppresses nobody
    live.world.smtp.treat("<s2", Phase::Rcpt, Action::Reply(reply));
    live
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn verification_mail_late() {
    let live = Live::start(World::start().await).await;
    live.queue(&["pause"]).await;
    live.api.sign_up("ada@example.com").await;
    live.fires("VerificationMailLate").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn mail_late() {
    let live = Live::start(World::start().await).await;
    live.queue(&["pause"]).await;
    live.api.process.freeze();
    commit_mails(&live.world, 5).await;
    sql(&live.world, "UPDATE mail_outbox SET created_at = created_at - 1000000").await;
    live.api.process.thaw();
    live.fires("MailLate").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn no_mail_accepted() {
    let live = Live::start(World::start().await).await;
    live.queue(&["pause"]).await;
    live.api.sign_up("ada@example.com").await;
    live.fires("NoMailAccepted").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn mailer_gone() {
    let mut live = Live::start(World::start().await).await;
    live.mailer.kill().await;
    live.fires("MailerGone").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn mail_breaker_open() {
    let live = Live::start(World::start().await).await;
    live.world.smtp.behave(|phase, _| match phase {
        Phase::Greeting => Action::Reply("421 4.3.2 closed for maintenance".to_owned()),
        _ => Action::Close,
    });
    commit_mails(&live.world, 20).await;
    live.fires("MailBreakerOpen").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn mail_login_refused() {
    let mut world = World::start().await;
    let log_in = Some(("examhall".to_owned(), "right".to_owned()));
    let options = SmtpOptions { log_in, encryption: Encryption::StartTls, ..SmtpOptions::default() };
    world.smtp = SmtpServer::start_with(options).await;
    let wrong = world.smtp.url_with("examhall:wrong@");
    world.set("SMTP_URL", &wrong);
    let live = Live::start(world).await;
    live.api.sign_up("ada@example.com").await;
    live.fires("MailLoginRefused").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn mail_failing() {
    let live = some_are_refused().await;
    live.fires_while("MailFailing", BATCH, async || commit_mails(&live.world, 20).await).await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn mail_refused_by_policy() {
    let live = some_are_refused().await;
    live.fires_while("MailRefusedByPolicy", BATCH, async || commit_mails(&live.world, 20).await).await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn mail_in_doubt() {
    let live = Live::start(World::start().await).await;
    let ends = AtomicUsize::new(0);
    live.world.smtp.behave(move |phase, _| match phase {
        Phase::EndOfData if ends.fetch_add(1, Ordering::SeqCst) == 0 => Action::KeepAndClose,
        _ => Action::Proceed,
    });
    live.api.sign_up("ada@example.com").await;
    live.fires("MailInDoubt").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn jobs_stalled() {
    let live = Live::start(World::start().await).await;
    live.world.smtp.behave(|phase, _| if phase == Phase::Mail { Action::Hang } else { Action::Proceed });
    commit_mails(&live.world, 40).await;
    live.fires_while("JobsStalled", Duration::ZERO, async || {
        let mut other = live.world.mailer(&[]);
        tokio::time::sleep(Duration::from_secs(8)).await; // it takes five, and gives none back
        other.kill().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn mail_outbox_stuck() {
    let mut live = Live::start(World::start().await).await;
    live.world.redis.kill().await;
    live.api.sign_up("ada@example.com").await;
    live.fires("MailOutboxStuck").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn suppressions_grow() {
    let live = Live::start(World::start().await).await;
    // Some seconds between two: what is added before the first scrape of a counter is no increase.
    live.world.smtp.behave(|phase, line| match phase {
        Phase::Rcpt if ["<s3", "<s4"].iter().any(|part| line.contains(part)) => {
            Action::Reply("550 5.1.1 no such user".to_owned())
        }
        Phase::EndOfData => Action::Wait(Duration::from_secs(1)),
        _ => Action::Proceed,
    });
    commit_mails(&live.world, 300).await;
    live.fires("SuppressionsGrow").await;
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn suppressions_held() {
    let mut world = World::start().await;
    world.set("MAIL_SUPPRESSIONS_PER_MINUTE", "3");
    let live = Live::start(world).await;
    live.world.smtp.treat("7@", Phase::Rcpt, Action::Reply("550 5.1.1 no such user".to_owned()));
    commit_mails(&live.world, 100).await;
    live.fires("SuppressionsHeld").await;
}
