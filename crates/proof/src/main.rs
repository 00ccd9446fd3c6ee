//! Proves that no mail is lost: a model of a mail's way, of which every state is searched, and a run in which everything
//! is killed, whose histories the same model must explain.
#![expect(clippy::print_stdout, reason = "the verdict is what this program is for")]

mod clock;
mod fail_over;
mod history;
mod log;
mod model;
mod mutants;
mod nemesis;
mod node;
mod pipeline;
mod producer;
mod put_back;
mod report;
mod run;
mod soak;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use examhall_testkit::DatabaseKind;

use crate::{
    pipeline::Programs,
    run::{Plan, Verdict},
};

/// Kills api, mailers, Redis and the database while mails are posted, and judges what became of each mail.
#[derive(Debug, Parser)]
#[command(
    name = "prove",
    after_help = "Examples:\n  scripts/prove\n  scripts/prove --kills 10000 --mails 100000 --write\n  scripts/prove --seed 7 --database sqlite --fsync everysec\n\n\
                  Exit status: 0 if every mail was sent and every duplicate was flagged, 1 if not, 2 for a bad argument."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
struct Args {
    /// Processes to kill
    #[arg(long, default_value_t = 1_000)]
    kills: usize,
    /// Mails to post, at least until the kills are done
    #[arg(long)]
    mails: Option<usize>,
    /// Mails per second
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Of what is struck, and when; another one each time where it is not given
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, value_enum, default_value_t = Kind::Postgres)]
    database: Kind,
    /// Redis' appendfsync
    #[arg(long, default_value = "always", value_parser = ["always", "everysec"])]
    fsync: String,
    /// Redis never loses what it has: then the run ends a minute earlier
    #[arg(long)]
    keep_redis: bool,
    /// How many times as often as usual Redis is emptied, put back or replaced: for short runs
    #[arg(long, default_value_t = 1, conflicts_with = "keep_redis")]
    losses: u32,
    /// Node programs add and send mails on the same queue, and are killed as well
    #[arg(long)]
    node: bool,
    /// The clocks of api, mailers and Redis are stepped forwards and back, each on its own
    #[arg(long)]
    clock: bool,
    /// Sentinel puts a replica in the place of Redis, which is dead or not
    #[arg(long, conflicts_with = "node")]
    sentinel: bool,
    /// Folder of the `api` and `mailer` to run; this program's where it is not given
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Write the verdict into docs/proof.md
    #[arg(long)]
    write: bool,
    /// Post mails for so long and kill nothing: memory, connections and keys are watched (60m, 90s)
    #[arg(long, value_name = "TIME", value_parser = soak::time, conflicts_with_all = ["mutants", "model"])]
    soak: Option<std::time::Duration>,
    /// Only search the model
    #[arg(long)]
    model: bool,
    /// Break the product's rules one by one in a copy, and see each caught; or only those whose name contains this
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    mutants: Option<String>,
}

/// Longer than any wait of a mail that is put off a few times.
const SETTLES_WITHIN: std::time::Duration = std::time::Duration::from_mins(10);

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

#[tokio::main]
async fn main() -> anyhow::Result<std::process::ExitCode> {
    let args = Args::parse();
    if args.model {
        println!("{}", report::searched());
        return Ok(0.into());
    }
    let folder = std::env::current_exe()?.parent().context("no folder")?.to_owned();
    let plan = Plan {
        programs: Programs(std::path::absolute(args.programs.as_ref().unwrap_or(&folder))?),
        database: match args.database {
            Kind::Sqlite => DatabaseKind::Sqlite,
            Kind::Postgres => DatabaseKind::Postgres,
        },
        fsync: args.fsync.clone(),
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        kills: args.kills,
        mails: args.mails.unwrap_or(args.kills * 10),
        rate: args.rate,
        often: None,
        node: args.node,
        clock: args.clock,
        sentinel: args.sentinel,
        settles_within: SETTLES_WITHIN,
        losses: if args.keep_redis { 0 } else { args.losses },
    };
    if let Some(wanted) = &args.mutants {
        anyhow::ensure!(wanted.is_empty() || !args.write, "docs/proof.md has a table of all: --write takes no NAME");
        let (table, are_all_caught) = mutants::hunt(&plan, wanted).await?;
        println!("\n{table}");
        if args.write {
            write(&table, MUTANTS)?;
        }
        return Ok(u8::from(!are_all_caught).into());
    }
    if let Some(time) = args.soak {
        let soaked = soak::soak(&plan, time, &commit(), &today()).await?;
        println!("{}", soaked.page);
        if args.write {
            write(&soaked.page, SOAK)?;
        }
        return Ok(u8::from(!soaked.is_good).into());
    }
    println!("seed {}: {} kills, at least {} mails", plan.seed, plan.kills, plan.mails);
    let verdict = run::run(&plan).await?;
    let page = report::page(&plan, &verdict, &commit(), &today());
    println!("{page}");
    complain(&verdict);
    if args.write {
        write(&page, RUN)?;
    }
    Ok(u8::from(!verdict.is_good()).into())
}

/// Names the first mails of each kind of fault.
fn complain(verdict: &Verdict) {
    for (what, mails) in verdict.faults() {
        mails.iter().take(10).for_each(|mail| println!("{what}: {mail}"));
    }
}

/// How the parts of docs/proof.md begin that this program writes.
const RUN: &str = "<!-- begin of what ./scripts/prove --write writes -->\n";
const SOAK: &str = "<!-- begin of what ./scripts/prove --soak 60m --write writes -->\n";
const MUTANTS: &str = "<!-- begin of what ./scripts/prove --mutants --write writes -->\n";
const END: &str = "<!-- end -->\n";

fn write(page: &str, begin: &str) -> anyhow::Result<()> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/proof.md");
    let text = std::fs::read_to_string(&path)?;
    let (head, rest) = text.split_once(begin).context("docs/proof.md has no mark where this begins")?;
    let (_, tail) = rest.split_once(END).context("docs/proof.md has no mark where this ends")?;
    Ok(std::fs::write(path, format!("{head}{begin}{page}{END}{tail}"))?)
}

fn commit() -> String {
    let output = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}
