//! The moments that decide whether users trust an installation, with virtual users, on a system of their own:
//! two `api` and two `mailer` processes, a Redis, a database and an SMTP server that accepts everything. The end of an
//! exam runs on PostgreSQL with one `api` (the sweep with three) and no `mailer`, so that the costs are the API's; a whole
//! exam day on PostgreSQL with two of each.
//!
//! ```text
//!   users ──HTTP──> api, api ──> Redis, database
//!                     │ outbox
//!                     └──> queue ──> mailer, mailer ──SMTP──> counted
//! ```

pub(crate) mod crowd;
pub(crate) mod exam_day;
mod exam_end;
mod exam_start;
pub(crate) mod report;
mod results;
mod sign_up;
pub(crate) mod student;
mod sweep;
pub(crate) mod system;

use std::time::Duration;

use clap::{Args, ValueEnum};
use examhall_testkit::DatabaseKind;

use self::{exam_day::Day, exam_end::Ending, report::Report, system::System};

/// How much load, and of which kind.
#[derive(Debug, Args)]
pub(crate) struct LoadTest {
    /// What to drive; everything where nothing is given
    moments: Vec<Moment>,
    /// Virtual users at once
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    users: u32,
    /// Students whose results are published, and who submit, save or leave their attempts open
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    students: u32,
    /// Questions of the exam whose end it is
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    questions: u32,
    /// Seconds over which `submit` and `autosave` spread their requests; 0: as fast as they are answered
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=3_600))]
    within: u32,
    /// Students who sit `exam-day`
    #[arg(long, default_value_t = 2_000, value_name = "STUDENTS", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    sitting: u32,
    /// Seconds for which they work in `exam-day`, after they have started within 10 s
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(20..=7_200))]
    working: u32,
    /// A PostgreSQL server of its own instead of SQLite; the end of an exam always has one
    #[arg(long)]
    postgres: bool,
    /// Prints the report as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Moment {
    /// Everybody reads one exam, right after its author changed it
    ExamStart,
    /// Everybody signs up, confirms the address and logs in
    SignUp,
    /// An author publishes the results of all students
    Results,
    /// Everybody submits in the last seconds of an exam
    Submit,
    /// Everybody saves three changed answers in the last seconds of an exam
    Autosave,
    /// Everybody leaves the attempt open: one process hands them in, then three
    Sweep,
    /// A whole exam: everybody starts, saves each 10 s and submits; some get more time, then all; results are published
    ExamDay,
}

/// Drives the moments one after the other, and prints what users saw.
pub(crate) async fn run(plan: &LoadTest) -> anyhow::Result<()> {
    let wants = |moment| plan.moments.is_empty() || plan.moments.contains(&moment);
    let mut report = Report::default();
    if [Moment::ExamStart, Moment::SignUp, Moment::Results].into_iter().any(wants) {
        let database = if plan.postgres { DatabaseKind::Postgres } else { DatabaseKind::Sqlite };
        let system = System::start(database, 2, 2).await?;
        if wants(Moment::ExamStart) {
            exam_start::drive(&system, plan.users, &mut report).await?;
        }
        if wants(Moment::SignUp) {
            sign_up::drive(&system, plan.users, &mut report).await?;
        }
        if wants(Moment::Results) {
            results::drive(&system, plan.students, &mut report).await?;
        }
    }
    let within = Duration::from_secs(plan.within.into());
    let ending = Ending { students: plan.students, questions: plan.questions, within };
    if wants(Moment::Submit) {
        exam_end::submit(&System::start(DatabaseKind::Postgres, 1, 0).await?, ending, &mut report).await?;
    }
    if wants(Moment::Autosave) {
        exam_end::autosave(&System::start(DatabaseKind::Postgres, 1, 0).await?, ending, &mut report).await?;
    }
    if wants(Moment::Sweep) {
        let system = System::start(DatabaseKind::Postgres, 3, 0).await?;
        sweep::drive(&system, plan.students, plan.questions, &mut report).await?;
    }
    if wants(Moment::ExamDay) {
        let day = Day { students: plan.sitting, working: Duration::from_secs(plan.working.into()) };
        exam_day::drive(&System::start(DatabaseKind::Postgres, 2, 2).await?, day, &mut report).await?;
    }
    report.print(plan.json)
}
