//! An author publishes the results of an exam: each student gets a mail.
//!
//! The students' attempts are begun in the past, so the API's sweeper hands them in, grades them and mails each result;
//! publishing comes after that.

use std::time::{Duration, Instant};

use anyhow::Context;
use examhall_core::{ExamId, Timestamp, UserId};
use examhall_store::Store;
use reqwest::Method;

use super::{
    report::Report,
    system::{System, TIMEOUT, timed},
};

/// Longer than the seeded exam lasts.
const AGO: Duration = Duration::from_hours(3);

pub(crate) async fn drive(system: &System, students: u32, report: &mut Report) -> anyhow::Result<()> {
    let before = system.accepted();
    let seeded = system.seed(10, students).await?;
    let author = system.log_in(&seeded["authorEmail"], &seeded["password"]).await?;
    let exam: ExamId = serde_json::from_value(seeded["examId"].clone())?;
    let ids: Vec<UserId> = serde_json::from_value(seeded["studentIds"].clone())?;
    let started = Instant::now();
    begin_attempts(system, exam, &ids).await?;
    let statistics = format!("/exams/{}/statistics", exam.0);
    examhall_testkit::eventually("all attempts graded", TIMEOUT, async || {
        let answer = timed(system.request(Method::GET, &statistics).bearer_auth(&author)).await.ok()?;
        (answer.json["count"] == students).then_some(())
    })
    .await;
    let count = students as usize;
    report.fact("results: graded per second", rate(count, started));
    system.mails(before + count).await?;

    let started = Instant::now();
    let publish = system.request(Method::POST, &format!("/exams/{}/results/publish", exam.0)).bearer_auth(&author);
    let answer = timed(publish).await.context("results/publish")?;
    anyhow::ensure!(answer.json["queued"] == students, "{} mails were queued", answer.json["queued"]);
    report.step(&format!("results: publish {students}"), &[Some(answer.took)]);
    system.mails(before + 2 * count).await?;
    report.fact("results: mails per second", rate(count, started));
    Ok(())
}

async fn begin_attempts(system: &System, exam: ExamId, students: &[UserId]) -> anyhow::Result<()> {
    let store = Store::connect(&system.world.database.url()).await?;
    let now = Timestamp::from_millis(std::time::UNIX_EPOCH.elapsed()?.as_millis().try_into()?);
    for student in students {
        store.attempts.start(exam, *student, now.minus(AGO)).await?;
    }
    Ok(())
}

fn rate(count: usize, since: Instant) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / since.elapsed().as_secs_f64()
}
