//! Attempts that students left open at the end of an exam, submitted by the sweeper of one process, and then of three.

use std::time::{Duration, Instant, SystemTime};

use examhall_core::{ExamId, Timestamp, UserId};
use examhall_store::Store;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    report::Report,
    system::{System, TIMEOUT},
};

/// Longer than the seeded exam lasts.
const AGO: Duration = Duration::from_hours(3);
/// Attempts that are begun at once.
const AT_ONCE: usize = 16;

pub(crate) async fn drive(system: &System, students: u32, questions: u32, report: &mut Report) -> anyhow::Result<()> {
    let one = hand_in(system, 1, students, questions).await?;
    let three = hand_in(system, 3, students, questions).await?;
    report.fact("sweep: attempts per second, one process", one);
    report.fact("sweep: attempts per second, three processes", three);
    report.fact("sweep: three processes, times one", three / one);
    Ok(())
}

/// Returns how many attempts a second the sweepers of so many processes hand in.
async fn hand_in(system: &System, processes: usize, students: u32, questions: u32) -> anyhow::Result<f64> {
    crate::progress(&format!("{students} attempts, to be submitted by {processes} ..."));
    let seeded = system.seed(questions, students).await?;
    let exam: ExamId = serde_json::from_value(seeded["examId"].clone())?;
    let ids: Vec<UserId> = serde_json::from_value(seeded["studentIds"].clone())?;
    let store = Store::connect(&system.world.database.url()).await?;
    let then = Timestamp::from(SystemTime::now()).minus(AGO);
    system.freeze_apis();
    let begun: Result<Vec<_>, _> = stream::iter(&ids)
        .map(async |student| store.attempts.start(exam, *student, then).await)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await;
    system.thaw_apis(processes);
    begun?;
    let started = Instant::now();
    examhall_testkit::eventually("all attempts submitted", TIMEOUT, async || {
        (store.results.count(exam).await.ok()? == u64::from(students)).then_some(())
    })
    .await;
    let rate = f64::from(students) / started.elapsed().as_secs_f64();
    system.thaw_apis(usize::MAX);
    Ok(rate)
}
