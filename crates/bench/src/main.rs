//! How fast the hot paths are, on a Redis of their own. Compare the figures of one run with one another, never with
//! those of another machine or hour.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod cache;
mod mail;
mod queue;

use clap::{Parser, ValueEnum};

/// Measures hot paths and prints a table.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  scripts/bench\n  scripts/bench queue --count 20000")]
struct Args {
    /// What to measure; everything where nothing is given
    what: Vec<What>,
    /// How many jobs or reads
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Adding and running jobs
    Queue,
    /// Reading through the cache
    Cache,
    /// Sending mails, beside nodemailer
    Mail,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wants = |what| args.what.is_empty() || args.what.contains(&what);
    println!("{:<40} {:>12}", "work", "per second");
    if wants(What::Queue) {
        queue::measure(args.count).await?;
    }
    if wants(What::Cache) {
        cache::measure(args.count).await?;
    }
    if wants(What::Mail) {
        mail::measure(args.count).await?;
    }
    Ok(())
}

/// Begins a table with columns of its own.
fn title(work: &str, columns: &[&str]) {
    let columns: String = columns.iter().map(|column| format!(" {column:>12}")).collect();
    println!("\n{work:<40}{columns}");
}

/// Prints one line of such a table.
fn row(work: &str, values: &[f64]) {
    let values: String = values.iter().map(|value| format!(" {value:>12.2}")).collect();
    println!("{work:<40}{values}");
}

/// Prints one line of the table.
fn print(work: &str, count: u32, seconds: f64) {
    println!("{work:<40} {:>12.0}", f64::from(count) / seconds);
}
