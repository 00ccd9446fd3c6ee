//! Measures what each thing costs, on an installation of its own: one API, one mailer, Redis and PostgreSQL.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context, ensure};
use examhall_core::{ExamId, Timestamp, UserId};
use examhall_store::Store;
use examhall_testkit::{DatabaseKind, eventually};
use serde_json::{Value, json};

use super::{
    costs::{Costs, Unit, Work},
    meter::Meter,
};
use crate::load_test::{
    crowd,
    student::{access_token, answer},
    system::{System, TIMEOUT, Usage},
};

/// How often each thing is done.
const COUNT: u32 = 2_000;
/// How many a second: as many as a pod that has a quarter of a core is to serve. A process that is driven as fast as it
/// answers takes half of that for each, since it wakes up for many at once.
const RATE: u32 = 200;
/// The same of those whose password is checked, which takes a core for 15 ms and more.
const PASSWORDS: u32 = 200;
const PASSWORD_RATE: u32 = 10;
/// Questions of the exam.
const QUESTIONS: u32 = 40;

/// Does each thing many times, and divides.
pub(crate) async fn measure() -> anyhow::Result<Costs> {
    let system = System::start(DatabaseKind::Postgres, 1, 1).await?;
    let meter = Meter::of(&system).await?;
    crate::progress(&format!("Making an exam of {QUESTIONS} questions and {COUNT} students ..."));
    let seeded = system.seed(QUESTIONS, COUNT).await?;
    let exam: ExamId = serde_json::from_value(seeded["examId"].clone())?;
    let ids: Vec<UserId> = serde_json::from_value(seeded["studentIds"].clone())?;
    let exam_path = format!("/exams/{}", exam.0);
    let author = system.log_in(&seeded["authorEmail"], &seeded["password"]).await?;
    system.results_on_publish(&exam_path, &author).await?;
    let store = Store::connect(&system.world.database.url()).await?;
    let answers: Vec<_> = store.questions.paper(exam).await?.value.questions.iter().map(answer).collect();
    let now = Timestamp::from(SystemTime::now());
    let secret = system.secret()?;
    let tokens: Vec<_> = ids.iter().map(|student| access_token(secret, *student, now)).collect();
    system.world.database.sql("VACUUM ANALYZE").await;

    let bytes = database_bytes(&system).await?;
    let all = |line: &dyn Fn(usize) -> (&'static str, String, String)| -> Vec<Vec<u8>> {
        (0..tokens.len()).map(|n| request(line(n), Some(&tokens[n]), n)).collect()
    };
    let mut units = vec![sign_ups(&meter).await?, log_ins(&meter, &seeded).await?];
    let starts = all(&|_| ("POST", format!("{exam_path}/attempts"), String::new()));
    units.push(unit(&meter, Work::Start, starts, RATE).await?);
    let attempts = attempts_of(&system, &ids).await?;
    let reads = all(&|_| ("GET", format!("{exam_path}/questions"), String::new()));
    units.push(unit(&meter, Work::Read, reads, RATE).await?);
    let saves = all(&|n| {
        let changed: Vec<_> = answers.iter().cycle().skip(n).take(3).collect();
        ("PATCH", format!("/attempts/{}/answers", attempts[n]), json!({"seq": 1, "answers": changed}).to_string())
    });
    units.push(unit(&meter, Work::Save, saves, RATE).await?);
    let submits = all(&|n| ("POST", format!("/attempts/{}/submit", attempts[n]), String::new()));
    units.push(unit(&meter, Work::Submit, submits, RATE).await?);
    let (mail, redis_bytes_per_mail) = mails_of_results(&meter, &author, &exam_path).await?;
    units.extend(mail);
    let database_bytes_per_attempt = (database_bytes(&system).await? - bytes) / f64::from(COUNT);
    let [api_mb, mailer_mb] = system.memory()?;
    let date = Timestamp::from(SystemTime::now()).to_string().chars().take(10).collect();
    Ok(Costs { date, machine: machine(), units, api_mb, mailer_mb, redis_bytes_per_mail, database_bytes_per_attempt })
}

/// The attempt of each student.
async fn attempts_of(system: &System, students: &[UserId]) -> anyhow::Result<Vec<String>> {
    let rows = system.world.database.sql("SELECT user_id, id FROM attempts").await;
    let attempts: HashMap<&str, &str> = rows.lines().filter_map(|row| row.split_once('|')).collect();
    let found = students.iter().map(|student| attempts.get(student.0.to_string().as_str()).map(|id| (*id).to_owned()));
    found.collect::<Option<_>>().context("a student has no attempt")
}

/// Sends so many of the requests each second; returns what one of them cost.
async fn unit(meter: &Meter<'_>, name: Work, requests: Vec<Vec<u8>>, rate: u32) -> anyhow::Result<Unit> {
    let count = u32::try_from(requests.len())?;
    meter.system.settle().await;
    let address = meter.system.address()?;
    let ((), used) = meter
        .used(async {
            let seen =
                crowd::send(&format!("{name:?}"), address, requests, Duration::from_secs(1) * count / rate).await;
            let failed = seen.times.iter().filter(|time| time.is_none()).count();
            ensure!(failed == 0, "{name:?}: {failed} of {count} requests failed");
            meter.system.settle().await;
            Ok(())
        })
        .await?;
    Ok(divide(name, used, count))
}

/// What one of so many took.
fn divide(name: Work, used: Usage, count: u32) -> Unit {
    // What is next to nothing may lie below what is used while nothing is done.
    let [api, mailers, redis, database, transactions] = used.parts().map(|used| (used / f64::from(count)).max(0.0));
    Unit {
        name,
        api_ms: api * 1_000.0,
        mailer_ms: mailers * 1_000.0,
        redis_ms: redis * 1_000.0,
        database_ms: database * 1_000.0,
        transactions,
    }
}

async fn sign_ups(meter: &Meter<'_>) -> anyhow::Result<Unit> {
    let body = |n: u32| json!({"email": format!("new{n}@example.com"), "name": "New", "password": "a long enough one"});
    let requests =
        (0..PASSWORDS).map(|n| request(("POST", "/auth/signup".to_owned(), body(n).to_string()), None, n as usize));
    unit(meter, Work::SignUp, requests.collect(), PASSWORD_RATE).await
}

async fn log_ins(meter: &Meter<'_>, seeded: &Value) -> anyhow::Result<Unit> {
    let emails = seeded["studentEmails"].as_array().context("e-mail addresses")?;
    let body = |email: &Value| json!({"email": email, "password": seeded["password"]}).to_string();
    let some = emails.iter().take(PASSWORDS as usize).enumerate();
    let requests = some.map(|(n, email)| request(("POST", "/auth/login".to_owned(), body(email)), None, n));
    unit(meter, Work::LogIn, requests.collect(), PASSWORD_RATE).await
}

/// Publishes the results while the mailer stands still, and then lets it send them; what one cost, first to be queued and
/// then to be sent, and its bytes in Redis.
async fn mails_of_results(meter: &Meter<'_>, author: &str, exam: &str) -> anyhow::Result<([Unit; 2], f64)> {
    let system = meter.system;
    let (mails, bytes, address) = (system.accepted(), redis_bytes(system).await?, system.address()?);
    let publish = request(("POST", format!("{exam}/results/publish"), String::new()), Some(author), 0);
    system.freeze_mailers();
    let ((), queueing) = meter
        .used(async {
            crowd::send("publish", address, vec![publish], Duration::ZERO).await;
            system.none("mail_outbox WHERE enqueued_at IS NULL").await;
            Ok(())
        })
        .await?;
    system.thaw_mailers();
    let ((), sending) = meter
        .used(async {
            system.mails(mails + COUNT as usize).await?;
            system.settle().await;
            Ok(())
        })
        .await?;
    let units = [divide(Work::Queue, queueing, COUNT), divide(Work::Send, sending, COUNT)];
    Ok((units, (redis_bytes(system).await? - bytes) / f64::from(COUNT)))
}

async fn redis_bytes(system: &System) -> anyhow::Result<f64> {
    let memory: String = system.world.redis.cmd("INFO memory").await;
    let line = memory.lines().find_map(|line| line.strip_prefix("used_memory_dataset:")).context("no memory")?;
    Ok(line.trim().parse()?)
}

async fn database_bytes(system: &System) -> anyhow::Result<f64> {
    let size = system.world.database.sql("SELECT pg_database_size(current_database())").await;
    Ok(size.trim().parse()?)
}

/// Each from an address of its own, since one client's requests are limited.
fn request((method, path, body): (&str, String, String), token: Option<&str>, n: usize) -> Vec<u8> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: 10.9.{}.{}\r\n{token}{kind}Content-Length: \
         {}\r\n\r\n{body}",
        n / 250,
        n % 250,
        body.len()
    )
    .into_bytes()
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    format!("{cores} cores, {}", model.trim_start_matches([' ', '\t', ':']))
}

impl System {
    /// Waits until nothing is left of what was done before: no mail is open.
    async fn settle(&self) {
        self.none("mail_outbox WHERE outcome IS NULL").await;
    }

    /// Waits until there is no such row.
    async fn none(&self, rows: &str) {
        eventually(&format!("no {rows}"), TIMEOUT, async || {
            let count = self.world.database.sql(&format!("SELECT count(*) FROM {rows}")).await;
            (count.trim() == "0").then_some(())
        })
        .await;
    }
}
