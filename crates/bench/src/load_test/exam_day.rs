//! A whole exam: everybody starts within ten seconds, reads the sheet, saves each ten seconds and submits within half a
//! minute. Meanwhile some get more time, then all do. The results are published at the end.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use examhall_core::{Answer, ExamId, Timestamp, UserId};
use examhall_store::Store;
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::time::sleep_until;

use super::{
    report::Report,
    student::{access_token, answer},
    system::{System, timed},
};

/// Within which all start.
const STARTING: Duration = Duration::from_secs(10);
/// Between two saves of a student.
const SAVING: Duration = Duration::from_secs(10);
/// Within which all submit.
const SUBMITTING: Duration = Duration::from_secs(30);
/// Students who get more time.
const MORE_TIME: usize = 50;
/// How much.
const EXTENSION: Duration = Duration::from_mins(5);
/// Questions of the exam.
const QUESTIONS: u32 = 40;

/// How many sit the exam, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Day {
    pub(crate) students: u32,
    pub(crate) working: Duration,
}

/// An exam, and who sits it.
pub(crate) struct Sitting {
    exam: String,
    author: String,
    answers: Vec<Answer>,
    /// Access tokens.
    students: Vec<String>,
    begin: Instant,
    day: Day,
}

/// How long each request took from its moment on; `None` is one that failed.
#[derive(Default)]
struct Times {
    starts: Vec<Option<Duration>>,
    reads: Vec<Option<Duration>>,
    saves: Vec<Option<Duration>>,
    submits: Vec<Option<Duration>>,
    changes: Vec<Option<Duration>>,
}

/// How many times each thing was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) starts: usize,
    pub(crate) reads: usize,
    pub(crate) saves: usize,
    pub(crate) submits: usize,
    pub(crate) mails: usize,
}

/// Drives the day, and adds to the report what students and the author saw.
pub(crate) async fn drive(system: &System, day: Day, report: &mut Report) -> anyhow::Result<()> {
    let sitting = Sitting::prepare(system, day).await?;
    sitting.drive(system, report).await.map(drop)
}

impl Sitting {
    /// As [`drive`], of a day that was prepared.
    pub(crate) async fn drive(&self, system: &System, report: &mut Report) -> anyhow::Result<Done> {
        let (sheets, mails, day) = (system.loads().await?, system.accepted(), self.day);
        let students = (0..self.students.len()).map(|n| self.sit(system, n));
        let (sat, changed) = tokio::join!(join_all(students), self.change(system));
        let mut times = Times { changes: changed?, ..Times::default() };
        for one in sat {
            times.add(one);
        }
        let publish = system.request(Method::POST, &format!("{}/results/publish", self.exam));
        let publish = timed(publish.bearer_auth(&self.author)).await.context("results/publish")?;
        ensure!(publish.json["queued"] == day.students, "{} results were published", publish.json["queued"]);
        let published = Instant::now();
        system.mails(mails + day.students as usize).await?;

        times.report(day, report);
        report.step("exam day: results published", &[Some(publish.took)]);
        report.fact("exam day: s until each student has a mail", published.elapsed().as_secs_f64());
        report.fact("exam day: loads through the cache", system.loads().await? - sheets);
        Ok(times.done(system.accepted() - mails))
    }

    pub(crate) async fn prepare(system: &System, day: Day) -> anyhow::Result<Self> {
        crate::progress(&format!("Making an exam of {QUESTIONS} questions and {} students ...", day.students));
        let seeded = system.seed(QUESTIONS, day.students).await?;
        let author = system.log_in(&seeded["authorEmail"], &seeded["password"]).await?;
        let id: ExamId = serde_json::from_value(seeded["examId"].clone())?;
        let exam = format!("/exams/{}", id.0);
        system.results_on_publish(&exam, &author).await?;
        let ids: Vec<UserId> = serde_json::from_value(seeded["studentIds"].clone())?;
        let store = Store::connect(&system.world.database.url()).await?;
        let answers = store.questions.paper(id).await?.value.questions.iter().map(answer).collect();
        let (secret, now) = (system.secret()?, Timestamp::from(SystemTime::now()));
        let students = ids.iter().map(|student| access_token(secret, *student, now)).collect();
        system.world.database.sql("VACUUM ANALYZE").await; // as on a server that has been up for a while
        Ok(Self { exam, author, answers, students, begin: Instant::now() + Duration::from_secs(1), day })
    }

    /// The moment of a student's turn when all take theirs within `span`.
    fn turn(&self, student: usize, span: Duration) -> Duration {
        let share = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        span * share(student) / share(self.students.len())
    }

    /// When the first may submit.
    fn end(&self) -> Duration {
        STARTING + self.day.working
    }

    async fn sit(&self, system: &System, n: usize) -> Times {
        let (token, mut times) = (&self.students[n], Times::default());
        let call = |method: Method, path: &str| system.request(method, path).bearer_auth(token);
        let turn = self.turn(n, STARTING);
        let attempt = self.at(turn, call(Method::POST, &format!("{}/attempts", self.exam))).await;
        times.starts.push(attempt.as_ref().map(|(took, _)| *took));
        let Some(attempt) = attempt.and_then(|(_, json)| Some(json["id"].as_str()?.to_owned())) else { return times };
        times.reads.push(self.took(Duration::ZERO, call(Method::GET, &format!("{}/questions", self.exam))).await);
        let mut due = turn + SAVING;
        for seq in 1_u32.. {
            if due >= self.end() {
                break;
            }
            let changed: Vec<_> = self.answers.iter().cycle().skip(seq as usize).take(3).collect();
            let save = call(Method::PATCH, &format!("/attempts/{attempt}/answers"));
            times.saves.push(self.took(due, save.json(&json!({"seq": seq, "answers": changed}))).await);
            due += SAVING;
        }
        let submit = call(Method::POST, &format!("/attempts/{attempt}/submit"));
        times.submits.push(self.took(self.end() + self.turn(n, SUBMITTING), submit).await);
        times
    }

    /// In the midst of it, fifty students get five more minutes each, and then all do.
    async fn change(&self, system: &System) -> anyhow::Result<Vec<Option<Duration>>> {
        let middle = STARTING + self.day.working / 3;
        sleep_until((self.begin + middle).into()).await;
        let list = system.request(Method::GET, &format!("{}/attempts?limit={MORE_TIME}", self.exam));
        let list = timed(list.bearer_auth(&self.author)).await.context("the list of attempts")?;
        let mut changes = Vec::new();
        for attempt in list.json["items"].as_array().context("a list")? {
            let id = attempt["id"].as_str().context("an id")?;
            let deadline: Timestamp = serde_json::from_value(attempt["deadline"].clone())?;
            let deadline = json!({"deadline": deadline.plus(EXTENSION), "reason": "a late start"});
            let put = system.request(Method::PUT, &format!("/attempts/{id}/deadline")).bearer_auth(&self.author);
            changes.push(self.took(Duration::ZERO, put.json(&deadline)).await);
        }
        sleep_until((self.begin + STARTING + self.day.working * 2 / 3).into()).await;
        let longer = system.request(Method::PATCH, &self.exam).bearer_auth(&self.author);
        changes.push(self.took(Duration::ZERO, longer.json(&json!({"durationMinutes": 120}))).await);
        Ok(changes)
    }

    /// Sends a request at its moment; how long it took from then on, and its answer.
    async fn at(&self, due: Duration, request: RequestBuilder) -> Option<(Duration, serde_json::Value)> {
        let due = (self.begin + due).max(Instant::now());
        sleep_until(due.into()).await;
        let answer = timed(request).await.ok()?;
        Some((due.elapsed(), answer.json))
    }

    async fn took(&self, due: Duration, request: RequestBuilder) -> Option<Duration> {
        self.at(due, request).await.map(|(took, _)| took)
    }
}

impl Times {
    fn add(&mut self, other: Self) {
        self.starts.extend(other.starts);
        self.reads.extend(other.reads);
        self.saves.extend(other.saves);
        self.submits.extend(other.submits);
    }

    fn done(&self, mails: usize) -> Done {
        let [starts, reads, saves, submits] =
            [&self.starts, &self.reads, &self.saves, &self.submits].map(|times| times.iter().flatten().count());
        Done { starts, reads, saves, submits, mails }
    }

    fn report(&self, day: Day, report: &mut Report) {
        let steps = [
            ("start within 10 s", &self.starts),
            ("read the sheet", &self.reads),
            ("save, each 10 s", &self.saves),
            ("submit within 30 s", &self.submits),
        ];
        for (name, times) in steps {
            report.step(&format!("exam day: {} {name}", day.students), times);
        }
        report.step(&format!("exam day: {MORE_TIME} get more time, then all"), &self.changes);
    }
}
