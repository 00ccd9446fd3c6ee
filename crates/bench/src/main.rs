//! How fast the hot paths are, on a Redis of their own. Compare the figures of one run with one another, never with
//! those of another machine or hour.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod cache;
mod http;
mod load;
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
    /// The question sheet over HTTP, against Express
    Http,
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
    if wants(What::Http) {
        http::measure().await?;
    }
    Ok(())
}

/// Prints how long something took: half of the times, and all but a hundredth of them.
fn print_times(work: &str, times: &mut [std::time::Duration]) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    println!("{work:<60} p50 {:>10.2?}  p99 {:>10.2?}  max {:>10.2?}", at(50), at(99), at(100));
}

/// Prints a rate, and which part of another one it is.
fn print_rate(work: &str, rate: f64, of: Option<(&str, f64)>) {
    match of {
        Some((what, other)) => println!("{work:<60} {rate:>10.0}/s  {:.0} % {what}", rate / other * 100.0),
        None => println!("{work:<60} {rate:>10.0}/s"),
    }
}

/// Prints a remark.
fn note(text: &str) {
    println!("{text}");
}

/// Prints one line of the table.
fn print(work: &str, count: u32, seconds: f64) {
    println!("{work:<40} {:>12.0}", f64::from(count) / seconds);
}
