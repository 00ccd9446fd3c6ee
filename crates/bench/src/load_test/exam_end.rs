//! The last seconds of an exam: everybody submits, or saves what they have just changed.

use std::time::{Duration, SystemTime};

use examhall_core::{Answer, AttemptId, ExamId, Timestamp, UserId};
use examhall_store::Store;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{
    crowd,
    report::Report,
    student::{access_token, answer},
    system::System,
};

/// Attempts that are begun at once.
const AT_ONCE: usize = 16;
/// Answers that one save changes.
const CHANGED: usize = 3;

/// How many submit what, and within which time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) students: u32,
    pub(crate) questions: u32,
    /// Zero: as fast as the API answers.
    pub(crate) within: Duration,
}

/// An exam that all students sit.
struct Sitting {
    store: Store,
    exam: ExamId,
    answers: Vec<Answer>,
    /// Each student's access token and attempt, which holds an answer to each question.
    students: Vec<(String, AttemptId)>,
}

/// All students submit.
pub(crate) async fn submit(system: &System, ending: Ending, report: &mut Report) -> anyhow::Result<()> {
    let sitting = Sitting::begin(system, ending).await?;
    let request = |(token, attempt): &(String, AttemptId)| request("POST", &format!("{attempt}/submit"), token, "");
    let requests = sitting.students.iter().map(request).collect();
    drive("submit", system, ending, requests, report).await?;
    let results = sitting.store.results.count(sitting.exam).await?;
    anyhow::ensure!(results == u64::from(ending.students), "{results} of {} attempts have a result", ending.students);
    Ok(())
}

/// All students save what they have just changed.
pub(crate) async fn autosave(system: &System, ending: Ending, report: &mut Report) -> anyhow::Result<()> {
    let sitting = Sitting::begin(system, ending).await?;
    let request = |(n, (token, attempt)): (usize, &(String, AttemptId))| {
        let changed: Vec<_> = sitting.answers.iter().cycle().skip(n).take(CHANGED.min(sitting.answers.len())).collect();
        let body = json!({"seq": 2, "answers": changed}).to_string();
        request("PATCH", &format!("{attempt}/answers"), token, &body)
    };
    let requests = sitting.students.iter().enumerate().map(request).collect();
    drive("autosave", system, ending, requests, report).await
}

/// Sends the requests, and adds to the report what users saw and what it cost.
async fn drive(
    what: &str,
    system: &System,
    ending: Ending,
    requests: Vec<Vec<u8>>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (count, before) = (f64::from(ending.students), system.cpu()?);
    let seen = crowd::send(what, system.address()?, requests, ending.within).await;
    let after = system.cpu()?;
    report.step(&format!("{what}: {} students, {} questions", ending.students, ending.questions), &seen.times);
    report.fact(&format!("{what}: requests per second"), count / seen.took.as_secs_f64());
    report.fact(&format!("{what}: answered 5xx, or not at all"), f64::from(u32::try_from(seen.server_errors)?));
    report.fact(&format!("{what}: API, CPU ms per request"), (after.api - before.api) * 1000.0 / count);
    report
        .fact(&format!("{what}: PostgreSQL, CPU ms per request"), (after.database - before.database) * 1000.0 / count);
    Ok(())
}

impl Sitting {
    /// Makes an exam with students, and begins an attempt for each of them.
    async fn begin(system: &System, ending: Ending) -> anyhow::Result<Self> {
        let Ending { students, questions, .. } = ending;
        crate::progress(&format!("Making an exam of {questions} questions and {students} students ..."));
        let seeded = system.seed(questions, students).await?;
        let exam: ExamId = serde_json::from_value(seeded["examId"].clone())?;
        let ids: Vec<UserId> = serde_json::from_value(seeded["studentIds"].clone())?;
        let store = Store::connect(&system.world.database.url()).await?;
        let answers: Vec<_> = store.questions.paper(exam).await?.value.questions.iter().map(answer).collect();
        crate::progress("Beginning their attempts, with an answer to each question ...");
        let now = Timestamp::from(SystemTime::now());
        let attempts: Vec<AttemptId> = stream::iter(&ids)
            .map(async |student| {
                let (_, attempt) = store.attempts.start(exam, *student, now).await?;
                store.attempts.save(attempt.id, *student, 1, &answers, now).await?;
                Ok::<_, anyhow::Error>(attempt.id)
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        // As they are on a server that has been up for a while; so that runs can be compared.
        system.world.database.sql("VACUUM ANALYZE").await;
        let secret = system.secret()?;
        let tokens = ids.iter().map(|student| access_token(secret, *student, now));
        let students = tokens.zip(attempts).collect();
        Ok(Self { store, exam, answers, students })
    }
}

fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    format!(
        "{method} /api/v1/attempts/{path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n{kind}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
