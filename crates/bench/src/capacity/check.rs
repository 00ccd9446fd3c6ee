//! Whether what one of each thing costs, added up, is what a whole exam day takes.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use examhall_testkit::DatabaseKind;

use super::costs::{Costs, Unit, Work};
use crate::load_test::{
    exam_day::{Day, Done, Sitting},
    report::Report,
    system::{System, Usage},
};

/// For how long students work.
const WORKING: Duration = Duration::from_mins(1);
/// For how long it is seen what the processes use that have nothing to do.
const IDLE: Duration = Duration::from_secs(10);

/// Drives an exam day of each size, and compares; as a table.
pub(crate) async fn check(sizes: &[u32], costs: &Costs) -> anyhow::Result<String> {
    let mut out = "| students | | API, s | mailers, s | Redis, s | PostgreSQL, s | transactions |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for students in sizes {
        let (done, used) = day(*students).await?;
        let computed = computed(&done, costs);
        let share: Vec<f64> = used.iter().zip(&computed).map(|(used, computed)| used / computed).collect();
        for (what, numbers) in [("computed", computed.as_slice()), ("used", &used), ("used / computed", &share)] {
            let students = examhall_core::with_commas(u64::from(*students));
            let cells: Vec<_> = numbers.iter().map(|number| format!("{number:.2}")).collect();
            let _ = writeln!(out, "| {students} | {what} | {} |", cells.join(" | "));
        }
    }
    Ok(out)
}

/// What is done on a day, and what it takes beyond what the idle processes do.
async fn day(students: u32) -> anyhow::Result<(Done, [f64; 5])> {
    let system = System::start(DatabaseKind::Postgres, 2, 2).await?;
    let (began, before) = (Instant::now(), system.usage().await?);
    tokio::time::sleep(IDLE).await;
    let idle = difference(before, system.usage().await?).map(|used| used / began.elapsed().as_secs_f64());
    let sitting = Sitting::prepare(&system, Day { students, working: WORKING }).await?;
    let (began, before) = (Instant::now(), system.usage().await?);
    let done = sitting.drive(&system, &mut Report::default()).await?;
    let mut used = difference(before, system.usage().await?);
    used.iter_mut().zip(idle).for_each(|(used, idle)| *used -= idle * began.elapsed().as_secs_f64());
    Ok((done, used))
}

fn difference(before: Usage, after: Usage) -> [f64; 5] {
    let parts = |usage: Usage| [usage.api, usage.mailers, usage.redis, usage.database, usage.transactions];
    let before = parts(before);
    let mut all = parts(after);
    all.iter_mut().zip(before).for_each(|(after, before)| *after -= before);
    all
}

/// What the costs say, in the same order.
fn computed(done: &Done, costs: &Costs) -> [f64; 5] {
    let all = [
        (done.starts, Work::Start),
        (done.reads, Work::Read),
        (done.saves, Work::Save),
        (done.submits, Work::Submit),
        (done.mails, Work::Mail),
    ];
    let sum = |part: fn(&Unit) -> f64| {
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let of = |(count, work): &(usize, Work)| *count as f64 * part(&costs.of(*work));
        all.iter().map(of).sum::<f64>()
    };
    [
        sum(|unit| unit.api_ms / 1e3),
        sum(|unit| unit.mailer_ms / 1e3),
        sum(|unit| unit.redis_ms / 1e3),
        sum(|unit| unit.database_ms / 1e3),
        sum(|unit| unit.transactions),
    ]
}
