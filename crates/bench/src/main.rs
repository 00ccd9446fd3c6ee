//! How fast the hot paths are, on a Redis of their own. Compare the figures of one run with one another, never with
//! those of another machine or hour.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod cache;
mod capacity;
mod console;
mod http;
mod load;
mod load_test;
mod mail;
mod queue;
mod usage;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::runtime::Builder;

use crate::{
    capacity::Capacity,
    load_test::LoadTest,
    queue::{Fsync, Peer, Plan},
};

/// Measures hot paths and prints a table.
#[derive(Debug, Parser)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  scripts/bench\n  scripts/bench queue --rounds 9 --aof always\n  scripts/bench queue --scale --peers ours\n  scripts/bench cache --count 50000"
)]
struct Args {
    /// What to measure; everything where nothing is given
    what: Vec<What>,
    /// How many jobs or reads in each measurement, in whole 500s
    #[arg(long, default_value_t = 20_000, value_parser = whole_500s)]
    count: u32,
    /// How often the queue's peers take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// How many jobs the console shows
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    jobs: u32,
    /// Peers that the queue is measured with
    #[arg(long, value_delimiter = ',', default_values = ["ours", "bullmq-5", "bullmq-6", "bullmq-official", "minimal"])]
    peers: Vec<Peer>,
    /// Redis keeps an append-only file, and syncs it then
    #[arg(long, value_name = "WHEN", num_args = 0..=1, default_missing_value = "everysec")]
    aof: Option<Fsync>,
    /// Also measure how late jobs start, a million jobs in wait, and ten processes
    #[arg(long)]
    scale: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Adding and running jobs
    Queue,
    /// Reading through the cache
    Cache,
    /// The question sheet over HTTP, against Express
    Http,
    /// Sending mails, alongside nodemailer
    Mail,
    /// The console on a queue of a million jobs, alongside Bull Board
    Console,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Drives an installation of its own with virtual users, and reports what they saw
    #[command(
        after_help = "Examples:\n  scripts/load-test\n  scripts/load-test exam-start --users 1000\n  scripts/load-test results --students 1000 --json\n  scripts/load-test submit --questions 500 --students 2000 --within 0\n  scripts/load-test autosave --questions 500"
    )]
    LoadTest(LoadTest),
    /// Says what so many students on one exam morning take, from what each thing costs
    #[command(
        after_help = "Examples:\n  scripts/bench capacity\n  scripts/bench capacity 25000\n  scripts/bench capacity --measure"
    )]
    Capacity(Capacity),
    /// Does one work as our queue does it: a measurement is a process of its own
    #[command(hide = true)]
    Peer {
        port: u16,
        work: String,
        count: u32,
        width: u32,
        /// As the yardstick does it
        #[arg(long)]
        minimal: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Part::LoadTest(plan)) = &args.part {
        return Builder::new_multi_thread().enable_all().build()?.block_on(load_test::run(plan));
    }
    if let Some(Part::Capacity(args)) = &args.part {
        return Builder::new_multi_thread().enable_all().build()?.block_on(capacity::run(args));
    }
    if let Some(Part::Peer { port, work, count, width, minimal }) = args.part {
        // Jobs that do nothing gain nothing from more threads than one, which is what Node has, and wake them for it.
        let runtime = if work == "run" || work == "share" {
            Builder::new_current_thread().enable_all().build()?
        } else {
            Builder::new_multi_thread().enable_all().build()?
        };
        return runtime.block_on(queue::be_a_peer(minimal, port, &work, count, width));
    }
    Builder::new_multi_thread().enable_all().build()?.block_on(measure(args))
}

async fn measure(args: Args) -> anyhow::Result<()> {
    let wants = |what| args.what.is_empty() || args.what.contains(&what);
    if wants(What::Cache) {
        cache::measure(args.count).await?;
    }
    if wants(What::Http) {
        http::measure().await?;
    }
    if wants(What::Queue) {
        let plan = Plan {
            count: args.count,
            rounds: args.rounds,
            peers: args.peers,
            append_only: args.aof,
            scale: args.scale,
        };
        queue::measure(&plan).await?;
    }
    if wants(What::Mail) {
        mail::measure(args.count).await?;
    }
    if wants(What::Console) {
        console::measure(args.jobs).await?;
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

/// Prints how far a measurement has come, to stderr.
#[expect(clippy::print_stderr, reason = "stdout is for the report")]
fn progress(text: &str) {
    eprintln!("{text}");
}

/// Begins a table with columns of its own.
fn title(work: &str, columns: &[&str]) {
    let columns: Vec<_> = columns.iter().map(|column| format!(" {column:>12}")).collect();
    println!("\n{work:<40}{}", columns.concat());
}

/// Prints one line of such a table.
fn row(work: &str, values: &[f64]) {
    let values: Vec<_> = values.iter().map(|value| format!(" {value:>12.2}")).collect();
    println!("{work:<40}{}", values.concat());
}

/// Every number of callers, slots and jobs a call divides 500.
fn whole_500s(text: &str) -> Result<u32, String> {
    let count = text.parse::<u32>().map_err(|error| error.to_string())?;
    if count > 0 && count <= 1_000_000 && count.is_multiple_of(500) {
        Ok(count)
    } else {
        Err("it must be 500, 1000, 1500 and so on, up to 1000000".to_owned())
    }
}
