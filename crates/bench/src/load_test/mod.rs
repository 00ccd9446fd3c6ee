//! The three moments that decide whether users trust an installation, with virtual users, on a system of their own:
//! two `api` and two `mailer` processes, a Redis, a database and an SMTP server that accepts everything.
//!
//! ```text
//!   users ──HTTP──> api, api ──> Redis, database
//!                     │ outbox
//!                     └──> queue ──> mailer, mailer ──SMTP──> counted
//! ```

mod exam_start;
mod report;
mod results;
mod sign_up;
mod system;

use clap::{Args, ValueEnum};

use self::{report::Report, system::System};

/// How much load, and of which kind.
#[derive(Debug, Args)]
pub(crate) struct LoadTest {
    /// What to drive; everything where nothing is given
    moments: Vec<Moment>,
    /// Virtual users at once
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    users: u32,
    /// Students whose results are published
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    students: u32,
    /// A PostgreSQL server of its own instead of SQLite
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
}

/// Drives the moments one after the other, and prints what users saw.
pub(crate) async fn run(plan: &LoadTest) -> anyhow::Result<()> {
    let wants = |moment| plan.moments.is_empty() || plan.moments.contains(&moment);
    let system = System::start(plan.postgres).await?;
    let mut report = Report::default();
    if wants(Moment::ExamStart) {
        exam_start::drive(&system, plan.users, &mut report).await?;
    }
    if wants(Moment::SignUp) {
        sign_up::drive(&system, plan.users, &mut report).await?;
    }
    if wants(Moment::Results) {
        results::drive(&system, plan.students, &mut report).await?;
    }
    report.print(plan.json)
}
