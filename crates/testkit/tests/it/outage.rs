//! What becomes of mails while Redis is away, forgets them, or is asked for the same one again and again.
#![expect(clippy::print_stdout, reason = "how long things took, for those who run the tests")]

use std::{
    collections::HashSet,
    ops::Range,
    time::{Duration, Instant},
};

use examhall_testkit::{Action, DatabaseKind, Phase, eventually};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    Api, TIMEOUT,
    database::{commit_mails, on_both, sql, wait_until_noted},
    last_number,
    outbox::{jobs, world},
};

on_both!(
    while_redis_is_away_mails_gather_and_then_go_most_urgent_first,
    mails_that_redis_forgets_are_queued_again,
    a_mail_asked_for_five_times_at_once_is_sent_once,
    what_becomes_of_a_mail_is_noted_as_it_happens,
);

#[tokio::test]
async fn mails_that_an_operator_takes_away_do_not_come_back() {
    let world = world(DatabaseKind::Sqlite).await;
    let mut api = Api::start(&world).await;
    commit_mails(&world, 20).await;
    wait_until_noted(&world).await;
    api.process.kill().await; // it misses what is done meanwhile
    let first: Vec<String> = world.redis.cmd("ZRANGE bull:email:prioritized 0 0").await;
    for args in [&["queue", "remove", &first[0]][..], &["queue", "clean", "--state", "prioritized"]] {
        let mut mailer = world.mailer(args);
        assert!(mailer.exit(TIMEOUT).await.success(), "{}", mailer.output());
    }
    let known: String = world.redis.cmd(&format!("GET mail:sent:{}", first[0])).await;
    assert!(known.contains("removed by an operator"), "{known}");
    sql(&world, "UPDATE mail_outbox SET enqueued_at = enqueued_at - 60000").await; // a minute later
    let _api = Api::start(&world).await;
    let open = "SELECT count(*) FROM mail_outbox WHERE outcome IS NULL OR outcome <> 'failed'";
    eventually("all rows closed", TIMEOUT, async || (sql(&world, open).await == "0").then_some(())).await;
    assert_eq!(jobs(&world).await, 0);
}

/// What the operators' port says of the mails that wait: how many, and for how many seconds.
async fn waiting(api: &Api, ops: &str) -> Option<(f64, f64)> {
    let metrics = api.client.get(format!("http://{ops}/metrics")).send().await.ok()?.text().await.ok()?;
    let gauge = |name| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    Some((gauge("mail_outbox_waiting ")?, gauge("mailer_outbox_oldest_seconds ")?))
}

/// Waits until this many mails wait, the oldest for this long.
async fn wait_until_waiting(api: &Api, ops: &str, mails: f64, seconds: Range<f64>) {
    eventually(&format!("{mails} mails wait"), TIMEOUT, async || {
        let (count, oldest) = waiting(api, ops).await?;
        (count.total_cmp(&mails).is_eq() && seconds.contains(&oldest)).then_some(())
    })
    .await;
}

async fn while_redis_is_away_mails_gather_and_then_go_most_urgent_first(database: DatabaseKind) {
    let mut world = world(database).await;
    world.set("MAILER_CONCURRENCY", "1"); // so that mails come in an order
    let api = Api::start(&world).await;
    let ops = last_number(&api.process.line("Health and metrics on port").await).expect("a port");
    let ops = format!("127.0.0.1:{ops}");
    world.redis.kill().await;
    api.sign_up("ada@example.com").await;
    wait_until_waiting(&api, &ops, 1.0, 0.001..60.0).await;
    commit_mails(&world, 250).await; // more than a relay takes at once
    api.sign_up("bob@example.com").await;
    wait_until_waiting(&api, &ops, 252.0, 1.0..60.0).await;
    if std::env::var_os("EXAMHALL_LONG").is_some() {
        tokio::time::sleep(Duration::from_mins(10)).await; // the outage
    }
    api.sign_up("eve@example.com").await;
    let ready = api.client.get(api.base.replace("/api/v1", "/readyz")).send().await.expect("an answer");
    assert_eq!(ready.status(), 200, "requests can be served");
    let ready: Value = ready.json().await.expect("JSON");
    assert_eq!(ready["dependencies"]["redis"]["state"], "down");

    world.redis.restart().await;
    wait_until_noted(&world).await;
    wait_until_waiting(&api, &ops, 0.0, 0.0..0.001).await;
    let overtaken = "SELECT count(*) FROM mail_outbox slow, mail_outbox fast WHERE slow.priority > fast.priority AND \
                     slow.enqueued_at > fast.enqueued_at";
    assert_eq!(sql(&world, overtaken).await, "0", "the most urgent are queued first");
    let _mailer = world.mailer(&[]);
    let mails = world.smtp.wait_for(253).await;
    let priorities: Vec<_> = mails.iter().map(|mail| priority_of(&mail.to[0])).collect();
    assert!(priorities.is_sorted_by(|first, second| first >= second), "{priorities:?}");
    eventually("the last job's end", TIMEOUT, async || (jobs(&world).await == 0).then_some(())).await;
    assert_eq!(world.smtp.received().len(), 253, "each once");
}

/// Of a mail that [`commit_mails`] committed, or of one that proves an address.
fn priority_of(address: &str) -> u32 {
    let number = address.strip_prefix('s').and_then(|rest| rest.split('@').next()?.parse::<u32>().ok());
    number.map_or(10, |number| 1 + number % 10)
}

async fn mails_that_redis_forgets_are_queued_again(database: DatabaseKind) {
    let is_long = std::env::var_os("EXAMHALL_LONG").is_some();
    let count = if is_long { 1_000 } else { 20 };
    let world = world(database).await;
    let _api = Api::start(&world).await;
    commit_mails(&world, count).await;
    wait_until_noted(&world).await;
    let flushed = Instant::now();
    world.redis.cmd::<String>("FLUSHALL").await;
    if !is_long {
        sql(&world, "UPDATE mail_outbox SET enqueued_at = enqueued_at - 60000").await; // a minute later
    }
    let _mailer = world.mailer(&[]);
    eventually("all delivered", Duration::from_mins(2), async || (world.smtp.received().len() >= count).then_some(()))
        .await;
    let took = flushed.elapsed();
    println!("{count} mails delivered {took:.1?} after Redis had lost them ({database:?})");
    assert!(took < Duration::from_secs(90), "{took:?}");
    let mails = world.smtp.received();
    let to: HashSet<_> = mails.iter().map(|mail| mail.to[0].clone()).collect();
    assert_eq!((mails.len(), to.len()), (count, count), "each once");
}

async fn a_mail_asked_for_five_times_at_once_is_sent_once(database: DatabaseKind) {
    let world = world(database).await;
    let api = Api::start(&world).await;
    let ask = async |path: &str| {
        let body = json!({"email": "ada@example.com"});
        let answers = join_all((0..5).map(|_| api.post(path, &body))).await;
        assert!(answers.iter().all(|answer| answer.status() == 202), "{answers:?}");
        sql(&world, "SELECT count(*) FROM mail_outbox").await
    };
    api.sign_up("ada@example.com").await;
    assert_eq!(ask("/auth/resend").await, "1", "the first mail was sent a moment ago");
    sql(&world, "UPDATE mail_tokens SET created_at = created_at - 60000").await; // a minute later
    assert_eq!(ask("/auth/resend").await, "2");
    assert_eq!(ask("/auth/forgot").await, "3", "another purpose");
    let _mailer = world.mailer(&[]);
    let mails = world.smtp.wait_for(3).await;
    eventually("the last job's end", TIMEOUT, async || (jobs(&world).await == 0).then_some(())).await;
    let mut subjects: Vec<_> = mails.iter().filter_map(|mail| mail.header("Subject")).collect();
    subjects.sort();
    assert_eq!(subjects, ["Choose a new password", "Confirm your e-mail address", "Confirm your e-mail address"]);
    assert_eq!(world.smtp.received().len(), 3);
}

async fn what_becomes_of_a_mail_is_noted_as_it_happens(database: DatabaseKind) {
    let world = world(database).await;
    let (api, _mailer) = (Api::start(&world).await, world.mailer(&[]));
    world.smtp.behave(|phase, line| match phase {
        Phase::Rcpt if line.contains("nobody@") => Action::Reply("550 5.1.1 no such user".into()),
        _ => Action::Proceed,
    });
    api.sign_up("ada@example.com").await;
    api.sign_up("nobody@example.com").await;
    let outcomes = "SELECT recipient || ' ' || outcome FROM mail_outbox WHERE outcome IS NOT NULL ORDER BY 1";
    eventually("both noted", TIMEOUT, async || {
        (sql(&world, outcomes).await == "ada@example.com sent\nnobody@example.com failed").then_some(())
    })
    .await;
}
