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

use super::costs::{Costs, Unit, Work};
use crate::load_test::{
    crowd,
    student::{access_token, answer},
    system::{System, TIMEOUT, Usage},
};

/// How often each thing is done; of those whose password is checked fewer, since that takes a core for 20 ms and more.
const COUNT: u32 = 2_000;
const PASSWORDS: u32 = 200;
/// Questions of the exam.
const QUESTIONS: u32 = 40;

/// Does each thing many times, and divides.
pub(crate) async fn measure() -> anyhow::Result<Costs> {
    let system = System::start(DatabaseKind::Postgres, 1, 1).await?;
    crate::progress(&format!("Making an exam of {QUESTIONS} questions and {COUNT} students ..."));
    let seeded = system.seed(QUESTIONS, COUNT).await?;
    let exam: ExamId = serde_json::from_value(seeded["examId"].clone())?;
    let ids: Vec<UserId> = serde_json::from_value(seeded["studentIds"].clone())?;
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
    let exam_path = format!("/exams/{}", exam.0);
    let mut units = vec![sign_ups(&system).await?, log_ins(&system, &seeded).await?];
    let starts = all(&|_| ("POST", format!("{exam_path}/attempts"), String::new()));
    units.push(unit(&system, Work::Start, starts).await?);
    let attempts = attempts_of(&system, &ids).await?;
    let reads = all(&|_| ("GET", format!("{exam_path}/questions"), String::new()));
    units.push(unit(&system, Work::Read, reads).await?);
    let saves = all(&|n| {
        let changed: Vec<_> = answers.iter().cycle().skip(n).take(3).collect();
        ("PATCH", format!("/attempts/{}/answers", attempts[n]), json!({"seq": 1, "answers": changed}).to_string())
    });
    units.push(unit(&system, Work::Save, saves).await?);
    let mails = system.accepted();
    let submits = all(&|n| ("POST", format!("/attempts/{}/submit", attempts[n]), String::new()));
    units.push(unit(&system, Work::Submit, submits).await?);
    system.mails(mails + ids.len()).await?;
    let database_bytes_per_attempt = (database_bytes(&system).await? - bytes) / f64::from(COUNT);

    let (mail, redis_bytes_per_mail) = mails_of_results(&system, &seeded, &exam_path).await?;
    units.push(mail);
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

/// Sends the requests as fast as they are answered; returns what one of them cost.
async fn unit(system: &System, name: Work, requests: Vec<Vec<u8>>) -> anyhow::Result<Unit> {
    let count = u32::try_from(requests.len())?;
    system.settle().await;
    let before = system.usage().await?;
    let seen = crowd::send(&format!("{name:?}"), system.address()?, requests, Duration::ZERO).await;
    let failed = seen.times.iter().filter(|time| time.is_none()).count();
    ensure!(failed == 0, "{name:?}: {failed} of {count} requests failed");
    Ok(divide(name, before, system.usage().await?, count))
}

fn divide(name: Work, before: Usage, after: Usage, count: u32) -> Unit {
    let ms = |part: fn(&Usage) -> f64| (part(&after) - part(&before)) * 1_000.0 / f64::from(count);
    Unit {
        name,
        api_ms: ms(|usage| usage.api),
        mailer_ms: ms(|usage| usage.mailers),
        redis_ms: ms(|usage| usage.redis),
        database_ms: ms(|usage| usage.database),
        transactions: ms(|usage| usage.transactions) / 1_000.0,
    }
}

async fn sign_ups(system: &System) -> anyhow::Result<Unit> {
    let body = |n: u32| json!({"email": format!("new{n}@example.com"), "name": "New", "password": "a long enough one"});
    let requests =
        (0..PASSWORDS).map(|n| request(("POST", "/auth/signup".to_owned(), body(n).to_string()), None, n as usize));
    let mails = system.accepted();
    let unit = unit(system, Work::SignUp, requests.collect()).await?;
    system.mails(mails + PASSWORDS as usize).await?;
    Ok(unit)
}

async fn log_ins(system: &System, seeded: &Value) -> anyhow::Result<Unit> {
    let emails = seeded["studentEmails"].as_array().context("e-mail addresses")?;
    let body = |email: &Value| json!({"email": email, "password": seeded["password"]}).to_string();
    let some = emails.iter().take(PASSWORDS as usize).enumerate();
    let requests = some.map(|(n, email)| request(("POST", "/auth/login".to_owned(), body(email)), None, n));
    unit(system, Work::LogIn, requests.collect()).await
}

/// Publishes the results, and waits until each student has a mail; what one cost, and its bytes in Redis.
async fn mails_of_results(system: &System, seeded: &Value, exam: &str) -> anyhow::Result<(Unit, f64)> {
    let author = system.log_in(&seeded["authorEmail"], &seeded["password"]).await?;
    system.settle().await;
    let (mails, bytes) = (system.accepted(), redis_bytes(system).await?);
    let before = system.usage().await?;
    let publish = request(("POST", format!("{exam}/results/publish"), String::new()), Some(&author), 0);
    crowd::send("publish", system.address()?, vec![publish], Duration::ZERO).await;
    system.mails(mails + COUNT as usize).await?;
    system.settle().await;
    let unit = divide(Work::Mail, before, system.usage().await?, COUNT);
    Ok((unit, (redis_bytes(system).await? - bytes) / f64::from(COUNT)))
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
    /// Waits until nothing is left of what was done before: no row is open.
    async fn settle(&self) {
        eventually("no open row", TIMEOUT, async || {
            let open = self.world.database.sql("SELECT count(*) FROM mail_outbox WHERE outcome IS NULL").await;
            (open.trim() == "0").then_some(())
        })
        .await;
    }
}
