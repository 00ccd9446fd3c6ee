//! What the browser looks at: mails of every kind, sent by a real mailer to a server with faults, mailers and their history.

use std::time::Duration;

use examhall_core::{Circuit, EmailJob, MailerStatus, ProviderStatus, RateUse, Timestamp};
use examhall_delivery::{MailBucket, Operations};
use examhall_queue::{Connection, Queue};
use examhall_testkit::{Action, Phase, World};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{Api, TIMEOUT};

/// Mails whose mailbox is full: actions are tried on them.
const FULL: usize = 100;

/// Ids of mails, for scenarios and pages.
pub(crate) struct Mails {
    /// Not sent: its address is suppressed.
    pub(crate) suppressed: String,
    pub(crate) held: String,
    /// Put off by a server.
    pub(crate) deferred: String,
    pub(crate) sent: String,
}

/// A world whose mailers hold mails in doubt.
pub(crate) async fn world() -> World {
    let mut world = World::start().await;
    world.set("MAIL_IN_DOUBT", "hold");
    world
}

/// Sends mails with a mailer to a server that refuses, defers, or hangs up.
pub(crate) async fn mails(api: &Api, admin: &str) -> Mails {
    let server = &api.world.smtp;
    server.behave(|phase, line| match phase {
        Phase::Rcpt if line.contains(".gone@") => Action::Reply("550 5.1.1 no such user".to_owned()),
        Phase::Rcpt if line.contains(".full@") => Action::Reply("552 5.2.2 mailbox full".to_owned()),
        Phase::Rcpt if line.contains(".nowhere@") => Action::Reply("550 5.4.4 no route to this host".to_owned()),
        Phase::Rcpt if line.contains(".later@") => {
            Action::Reply("451 4.7.1 greylisted, try again in 5 minutes".to_owned())
        }
        _ => Action::Proceed,
    });
    let send = async |to: &str, subject: &str| api.send_mail(admin, to, subject).await;
    for name in ["ada", "ben", "cleo"] {
        send(&format!("{name}.gone@example.com"), "Result of History").await;
    }
    for name in ["hal", "ivy"] {
        send(&format!("{name}.nowhere@example.com"), "Result of History").await;
    }
    let (deferred, accepted) =
        (send("dora.later@example.com", "Room changed").await, send("emil@example.com", "Room changed").await);
    let full: Vec<_> = (1..=FULL).map(|n| format!("class{n}.full@example.com")).collect();
    for some in full.chunks(20) {
        join_all(some.iter().map(|to| send(to, "Timetable of next week"))).await;
    }
    work(api).await;
    // A mail to a suppressed address, and mails of which nobody knows whether they arrived.
    server.treat(".doubt@", Phase::EndOfData, Action::KeepAndClose);
    let suppressed = send("ada.gone@example.com", "Second sitting").await;
    let mut held = String::new();
    for name in ["fay", "gus", "ida"] {
        held = send(&format!("{name}.doubt@example.com"), "Certificate").await;
    }
    work(api).await;
    let later = json!({"to": "emil@example.com", "subject": "Tomorrow", "html": "<p>x</p>", "delayMs": 86_400_000});
    api.expect(202, Method::POST, "/emails", admin, &later).await;
    Mails { suppressed, held, deferred, sent: accepted }
}

/// Runs a mailer until no mail is due.
async fn work(api: &Api) {
    let mut mailer = api.world.mailer(&["--once", "--json"]);
    mailer.exit(TIMEOUT).await; // 1, since some mails fail
    mailer.line("\"drained\"").await;
}

/// The token of the link that ends mails about results.
pub(crate) async fn unsubscribe_token(api: &Api, seeded: &Value) -> String {
    let student = api.log_in(&seeded["studentEmails"][0]).await;
    let exam = format!("/exams/{}/attempts", seeded["examId"].as_str().expect("an id"));
    let attempt = api.expect(201, Method::POST, &exam, &student, &Value::Null).await;
    let submit = format!("/attempts/{}/submit", attempt["id"].as_str().expect("an id"));
    api.expect(200, Method::POST, &submit, &student, &Value::Null).await;
    let mail = api.mails_to(seeded["studentEmails"][0].as_str().expect("text"), 1).await.remove(0);
    let link = mail["headers"]["List-Unsubscribe"].as_str().expect("a link").trim_matches(['<', '>']).to_owned();
    link.split("/unsubscribe?token=").nth(1).expect("our link").to_owned()
}

/// The token of an invitation to somebody without an account.
pub(crate) async fn invitation_token(api: &Api, seeded: &Value) -> String {
    let author = api.log_in(&seeded["authorEmail"]).await;
    let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let guest = "guest@example.com";
    let roster = json!({"students": [{"email": guest, "name": "Grace Hopper"}]});
    api.expect(200, Method::PUT, &format!("{exam}/roster"), &author, &roster).await;
    api.expect(202, Method::POST, &format!("{exam}/invitations"), &author, &Value::Null).await;
    let mail = api.mails_to(guest, 1).await.remove(0);
    let link = mail["text"].as_str().expect("text").split("/invitation?token=").nth(1).expect("a link");
    link.split_whitespace().next().expect("a token").to_owned()
}

/// Mailers that run until the task is aborted, and the mails of a day.
pub(crate) async fn mailers(api: &Api) -> JoinHandle<()> {
    let connection = Connection::open(&api.world.redis.url()).expect("a good URL");
    connection.ready().await.expect("connected");
    let queue: Queue<Value> = Queue::new(connection.clone(), "bull", EmailJob::QUEUE).expect("good names");
    let (operations, now) = (Operations::new(&connection), Timestamp::from_millis(queue.now_ms()));
    let minutes = |n: u64| now.minus(Duration::from_mins(n));
    for n in 0..96 {
        let mut counts = MailBucket { failed: u64::from(n % 7 == 0) * 3, deferred: n % 5, ..MailBucket::default() };
        for mail in 0..20 + (n * 37) % 60 {
            let slow = if (30..34).contains(&n) { 40_000 } else { 0 };
            counts.count_sent(i64::try_from(300 + mail * 40 + slow).expect("small"));
        }
        operations.history.add(minutes(n * 15), &counts).await.expect("added");
    }
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_secs(4));
        loop {
            beat.tick().await;
            for mailer in fleet(now) {
                let _ = operations.fleet.beat(&mailer).await; // Redis stops before this task does
            }
        }
    })
}

fn fleet(now: Timestamp) -> [MailerStatus; 2] {
    let minutes = |n: u64| now.minus(Duration::from_mins(n));
    let rates = vec![
        RateUse { limit: "14/s".to_owned(), used: 6, allowed: 14 },
        RateUse { limit: "50000/d recipients".to_owned(), used: 41_210, allowed: 50_000 },
    ];
    let main = ProviderStatus { rates, ..ProviderStatus::closed("email-smtp.eu-central-1.example:587") };
    let spare = ProviderStatus {
        circuit: Circuit::Open,
        since: Some(minutes(12)),
        failure: Some("throttled".to_owned()),
        reply: Some("451 4.7.1".to_owned()),
        reason: Some("451 4.7.1 at MAIL".to_owned()),
        next_probe_at: Some(now.plus(Duration::from_mins(5))),
        ..ProviderStatus::closed("mail.example.com:587")
    };
    let mailer = |id: &str, host: &str, busy: u32| MailerStatus {
        id: id.to_owned(),
        host: host.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: minutes(400),
        seen_at: now,
        slots: 10,
        busy,
        providers: vec![main.clone(), spare.clone()],
    };
    [mailer("m1", "mail-1", 3), mailer("m2", "mail-2", 0)]
}
