//! How much an exam morning takes: what one of each thing costs, measured, and what follows for any number of students.
//!
//! ```text
//!   --measure: one api, one mailer, Redis, PostgreSQL ──> costs.json
//!   costs.json + students ──> plan: processes, connections, memory, and what is too small first
//!   --check: a whole exam day of two sizes ──> what it took / what the costs say
//! ```

mod check;
mod costs;
mod manifests;
mod measure;
mod meter;
mod plan;

use std::{fmt::Write, fs, path::PathBuf};

use clap::Args;

use self::{costs::Costs, plan::Plan};

/// Students of the table in docs/capacity.md.
const SIZES: [u64; 3] = [1_000, 100_000, 10_000_000];

/// Students of the exam days that are driven.
const CHECKED: [u32; 2] = [2_000, 5_000];

/// What an exam morning takes.
#[derive(Debug, Args)]
pub(crate) struct Capacity {
    /// Students on one exam; 1000, 100000 and 10000000 where nothing is given
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    students: Vec<u64>,
    /// Measures again what each thing costs here, and keeps it in crates/bench/costs.json
    #[arg(long)]
    measure: bool,
    /// Drives an exam day of 2,000 students and one of 5,000, and compares what they take with what the costs say
    #[arg(long, conflicts_with_all = ["students", "json"])]
    check: bool,
    /// Prints the plans as JSON, one a line
    #[arg(long)]
    json: bool,
}

/// Prints what so many students take, from costs that were measured before, or now.
pub(crate) async fn run(args: &Capacity) -> anyhow::Result<()> {
    let costs = if args.measure { measured().await? } else { Costs::kept()? };
    if args.check {
        return check::check(&CHECKED, &costs).await;
    }
    let sizes = if args.students.is_empty() { SIZES.to_vec() } else { args.students.clone() };
    let plans: Vec<Plan> = sizes.iter().map(|students| Plan::of(*students, &costs)).collect();
    if args.json {
        plans.iter().try_for_each(|plan| serde_json::to_string(plan).map(|plan| crate::note(&plan)))?;
    } else {
        crate::note(&format!("{}\n{}\n{}", costs.table(), table(&plans), manifests::table(&costs)?));
    }
    Ok(())
}

/// Measures, and keeps what came of it.
async fn measured() -> anyhow::Result<Costs> {
    let costs = measure::measure().await?;
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("costs.json");
    fs::write(&file, serde_json::to_string_pretty(&costs)? + "\n")?;
    crate::progress(&format!("kept in {}", file.display()));
    Ok(costs)
}

/// A column for each plan.
fn table(plans: &[Plan]) -> String {
    let mut out = String::from("| students |");
    for plan in plans {
        let _ = write!(out, " {} |", examhall_core::with_commas(plan.students));
    }
    let _ = write!(out, "\n|---|{}\n", "---|".repeat(plans.len()));
    let rows = plans.first().map(Plan::rows).unwrap_or_default();
    for (at, (what, _)) in rows.iter().enumerate() {
        let values: Vec<_> = plans.iter().map(|plan| plan.rows()[at].1.clone()).collect();
        let _ = writeln!(out, "| {what} | {} |", values.join(" | "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_what_the_program_prints() {
        let page =
            fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/capacity.md")).expect("it");
        let costs = Costs::kept().expect("costs");
        let plans = SIZES.map(|students| Plan::of(students, &costs));
        for part in [costs.table(), table(&plans), manifests::table(&costs).expect("manifests")] {
            assert!(page.contains(part.trim()), "docs/capacity.md has another table than:\n{part}");
        }
    }
}
