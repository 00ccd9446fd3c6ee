//! Whether what one of each thing costs, added up, is what a whole exam day takes.

use std::{fmt::Write, time::Duration};

use anyhow::ensure;
use examhall_testkit::DatabaseKind;

use super::{
    costs::{Costs, Unit, Work},
    meter::Meter,
};
use crate::load_test::{
    exam_day::{Day, Done, Sitting},
    report::Report,
    system::{System, Usage},
};

/// So much of what was computed may be used, before the costs are to be measured again: machines are noisy.
const AS_FAR: f64 = 1.5;
/// For how long students work.
const WORKING: Duration = Duration::from_mins(1);

/// Drives an exam day of each size, and compares; prints a table.
///
/// # Errors
///
/// A day takes more than the costs say.
pub(crate) async fn check(sizes: &[u32], costs: &Costs) -> anyhow::Result<()> {
    let mut out = "| students | | API, s | mailers, s | Redis, s | PostgreSQL, s | transactions |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut worst = 0.0_f64;
    for students in sizes {
        let (done, used) = day(*students).await?;
        let (used, computed) = (used.parts(), computed(&done, costs));
        let share: Vec<f64> = used.iter().zip(&computed).map(|(used, computed)| used / computed).collect();
        worst = share.iter().copied().fold(worst, f64::max);
        for (what, numbers) in [("computed", computed.as_slice()), ("used", &used), ("used / computed", &share)] {
            let students = examhall_core::with_commas(u64::from(*students));
            let cells: Vec<_> = numbers.iter().map(|number| format!("{number:.2}")).collect();
            let _ = writeln!(out, "| {students} | {what} | {} |", cells.join(" | "));
        }
    }
    crate::note(&out);
    ensure!(worst <= AS_FAR, "a day takes {worst:.2} times what the costs say: measure them again (--measure)");
    Ok(())
}

/// What is done on a day, and what it takes.
async fn day(students: u32) -> anyhow::Result<(Done, Usage)> {
    let system = System::start(DatabaseKind::Postgres, 2, 2).await?;
    let meter = Meter::of(&system).await?;
    let sitting = Sitting::prepare(&system, Day { students, working: WORKING }).await?;
    meter.used(sitting.drive(&system, &mut Report::default())).await
}

/// What the costs say, in the same order.
fn computed(done: &Done, costs: &Costs) -> [f64; 5] {
    let all = [
        (done.starts, Work::Start),
        (done.reads, Work::Read),
        (done.saves, Work::Save),
        (done.submits, Work::Submit),
        (done.mails, Work::Queue),
        (done.mails, Work::Send),
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
