//! The console on a queue of a million jobs, some of them with 30 MB, alongside Bull Board on the same queue.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use examhall_core::EmailJob;
use examhall_testkit::{Process, World, eventually, free_port};
use reqwest::{Client, header::COOKIE, redirect::Policy};
use tokio::process::Command;

use crate::mail::alongside;

const TIMEOUT: Duration = Duration::from_mins(5);
/// Jobs that one script adds.
const STEP: u32 = 20_000;
/// Requests for each view.
const ROUNDS: usize = 200;
/// Requests for each view of Bull Board: it takes seconds for one.
const ROUNDS_OF_PEER: usize = 5;
/// Slowest answer of the server in a hundred.
const TARGET: Duration = Duration::from_millis(20);
/// Rows in the outbox, and entries of the suppression list.
const ROWS: u32 = 200_000;

/// Views of the console: each reads what it shows from Redis and the database.
const VIEWS: [(&str, &str); 16] = [
    ("overview", "/console"),
    ("mails, all", "/console/mails"),
    ("mails, failed", "/console/mails?q=state:failed"),
    ("mails, completed", "/console/mails?q=state:completed"),
    ("mails, to an address", "/console/mails?q=s77@example.com"),
    ("mails, to a part of one", "/console/mails?q=to:s4242@"),
    ("mails, a rare reason", "/console/mails?q=reason:nowhere"),
    ("mails, a rare subject", "/console/mails?q=subject:nowhere"),
    ("held", "/console/held"),
    ("a mail", "/console/mails/700"),
    ("a mail of 30 MB", "/console/mails/large-failed"),
    ("failures", "/console/failures"),
    ("suppressions", "/console/suppressions"),
    ("suppressions, a rare part", "/console/suppressions?q=nowhere"),
    ("mailers", "/console/mailers"),
    ("charts", "/console/charts"),
];

/// Views of Bull Board, by the requests that its page makes.
const VIEWS_OF_PEER: [(&str, &str); 4] = [
    ("prioritized, 10 a page", "status=prioritized&page=1&jobsPerPage=10"),
    ("failed, 10 a page", "status=failed&page=1&jobsPerPage=10"),
    ("failed, one of 30 MB on the page", "status=failed&page=1&jobsPerPage=10"),
    ("completed, one of 30 MB on the page", "status=completed&page=1&jobsPerPage=10"),
];

/// ARGV: first number, how many, now in ms.
const FILL: &str = r#"
local P, first, count, now = 'bull:email:', tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local body = string.rep('x', 400)
for n = first, first + count - 1 do
  local id, at, of = tostring(n), now - (n % 86400) * 1000, n % 10
  local data = '{"to":"s' .. n % 50000 .. '@example.com","subject":"Result of exam ' .. n % 97 .. '","class":"result","html":"<p>' .. body .. '</p>"}'
  redis.call('HSET', P .. id, 'name', 'send-email', 'data', data, 'opts', '{"attempts":3}', 'timestamp', at, 'delay', 0, 'priority', 0)
  if of < 6 then
    redis.call('HSET', P .. id, 'finishedOn', at + 500, 'processedOn', at + 200, 'atm', 1, 'returnvalue', '{"messageId":"<' .. id .. '@x.example>"}')
    redis.call('ZADD', P .. 'completed', at + 500, id)
  elseif of < 8 then
    redis.call('HSET', P .. id, 'finishedOn', at + 500, 'processedOn', at + 200, 'atm', 3, 'failedReason', '550 5.1.1 no such user')
    redis.call('ZADD', P .. 'failed', at + 500, id)
  elseif of == 8 then
    redis.call('ZADD', P .. 'delayed', (now + n) * 4096, id)
  else
    redis.call('HSET', P .. id, 'priority', 5)
    redis.call('ZADD', P .. 'prioritized', 5 * 4294967296 + n, id)
  end
end
return count
"#;

/// Adds one job of 30 MB as the newest of its state. ARGV: state, now in ms.
const FILL_LARGE: &str = r#"
local P, id = 'bull:email:', 'large-' .. ARGV[1]
local data = '{"to":"large@example.com","subject":"Large","html":"' .. string.rep('x', 30 * 1024 * 1024) .. '"}'
redis.call('HSET', P .. id, 'name', 'send-email', 'data', data, 'opts', '{}', 'timestamp', ARGV[2], 'finishedOn', ARGV[2], 'atm', 3,
  'failedReason', '552 5.3.4 message too big', 'returnvalue', '{}')
redis.call('ZADD', P .. ARGV[1], ARGV[2], id)
return 1
"#;

/// Adds held mails and suppressed addresses. ARGV: how many of these, now in ms, seconds that an entry is kept.
const FILL_LISTS: &str = r#"
local now = tonumber(ARGV[2])
for n = 1, tonumber(ARGV[1]) do
  redis.call('HSET', KEYS[2], 's' .. n .. '@example.com', '{"reason":"550 5.1.1 no such user","cause":"refused","source":"mx","since":' .. now .. '}')
end
for n = 1, 1000 do
  local id = tostring(n * 10 + 7)
  redis.call('HSET', 'bull:email:' .. id, 'failedReason', 'held: it may have been delivered before')
  redis.call('SET', KEYS[3] .. id, '{"state":"held","messageId":"<x@y>","at":' .. now .. '}', 'EX', ARGV[3])
  redis.call('ZADD', KEYS[1], now - n, id)
end
return 1
"#;

/// Measures each view in turn, and prints a table.
pub(crate) async fn measure(jobs: u32) -> anyhow::Result<()> {
    let mut world = World::start().await;
    world.set("RUST_LOG", "warn");
    let (port, ops) = (free_port(), free_port());
    world.set("API_BIND", &format!("127.0.0.1:{port}"));
    world.set("API_OPS_BIND", &format!("127.0.0.1:{ops}"));
    let api = program(&world, &[])?;
    let client = Client::builder().redirect(Policy::none()).build()?;
    let ready = format!("http://127.0.0.1:{ops}/readyz");
    eventually("an API that is ready", TIMEOUT, async || {
        client.get(&ready).send().await.ok()?.status().is_success().then_some(())
    })
    .await;
    fill(&world, jobs).await?;
    let base = format!("http://127.0.0.1:{port}");
    let cookie = log_in(&world, &client, &base).await?;
    set_large(&world, true).await?;
    crate::note(&format!(
        "{jobs} jobs, and one of 30 MB in each of failed and completed; {ROUNDS} requests for each view"
    ));
    let mut slow = Vec::new();
    for (name, path) in VIEWS {
        let mut times = time(&client, &format!("{base}{path}"), Some(&cookie), ROUNDS).await?;
        crate::print_times(&format!("console: {name}"), &mut times);
        if times[times.len() * 99 / 100] > TARGET {
            slow.push(name);
        }
    }
    crate::note(&match slow.as_slice() {
        [] => format!("console: each view in {TARGET:?} but for one in a hundred"),
        slow => format!("console: over {TARGET:?} in more than one of a hundred: {}", slow.join(", ")),
    });
    drop(api);
    bull_board(&world, &client).await
}

async fn fill(world: &World, jobs: u32) -> anyhow::Result<()> {
    let now = now(world).await?;
    for first in (1..=jobs).step_by(STEP as usize) {
        let count = STEP.min(jobs + 1 - first).to_string();
        world.redis.command::<i64>(&["EVAL", FILL, "0", &first.to_string(), &count, &now]).await;
    }
    let (held, suppressed, ledger) = (EmailJob::HELD_KEY, EmailJob::SUPPRESSED_KEY, EmailJob::LEDGER_PREFIX);
    let kept = EmailJob::KEEP_FAILED.as_secs().to_string();
    let words = ["EVAL", FILL_LISTS, "3", held, suppressed, ledger, &ROWS.to_string(), &now, &kept];
    world.redis.command::<i64>(&words).await;
    let rows = format!(
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})
         INSERT INTO mail_outbox (id, class, template, recipient, params, sealed, priority, run_at, created_at, enqueued_at,
                                  outcome, outcome_at, claims)
         SELECT randomblob(16), 'result', 'result', 's' || (n % 50000) || '@example.com', '{{}}', x'', 5, {now}, {now} - n, {now},
                'sent', {now}, 1 FROM numbers"
    );
    world.database.sql(&rows).await;
    Ok(())
}

/// Redis's time in ms.
async fn now(world: &World) -> anyhow::Result<String> {
    let time: Vec<String> = world.redis.cmd("TIME").await;
    Ok(format!("{}000", time.first().context("TIME is two numbers")?))
}

async fn large(world: &World, state: &str) -> anyhow::Result<i64> {
    let now = now(world).await?;
    Ok(world.redis.command(&["EVAL", FILL_LARGE, "0", state, &now]).await)
}

/// Logs an administrator in; returns the session's cookie.
async fn log_in(world: &World, client: &Client, base: &str) -> anyhow::Result<String> {
    let mut made = program(world, &["console-link"])?;
    ensure!(made.exit(TIMEOUT).await.success(), "{}", made.output());
    let output = made.output();
    let token = output.lines().find_map(|line| line.split_once("/console/login?token=")).context("no link")?.1;
    let answer = client.get(format!("{base}/console/login?token={token}")).send().await?;
    let cookie = answer.headers().get("set-cookie").context("no cookie")?.to_str()?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// The times of so many requests, one after the other.
async fn time(client: &Client, url: &str, cookie: Option<&str>, rounds: usize) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let request = client.get(url).header(COOKIE, cookie.unwrap_or_default());
        let started = Instant::now();
        let answer = request.send().await?.error_for_status()?;
        ensure!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.bytes().await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

async fn bull_board(world: &World, client: &Client) -> anyhow::Result<()> {
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/bull-board");
    if !peer.join("node_modules").exists() {
        crate::note("Bull Board is not installed: run ./scripts/bench");
        return Ok(());
    }
    let mut command = Command::new("node");
    command.arg("server.mjs").args([&world.redis.port().to_string(), EmailJob::QUEUE]).current_dir(&peer);
    let node = Process::spawn("Bull Board", &mut command);
    let port = node.line("port ").await.trim_start_matches("port ").trim().to_owned();
    for (name, query) in VIEWS_OF_PEER {
        let has_large = name.contains("30 MB");
        set_large(world, has_large).await?;
        let url = format!("http://127.0.0.1:{port}/board/api/queues?activeQueue={}&{query}", EmailJob::QUEUE);
        let rounds = if has_large { ROUNDS_OF_PEER } else { ROUNDS };
        let mut times = time(client, &url, None, rounds).await?;
        crate::print_times(&format!("Bull Board: {name}"), &mut times);
    }
    Ok(())
}

/// Adds the jobs of 30 MB to their states, or takes them out.
async fn set_large(world: &World, are_there: bool) -> anyhow::Result<()> {
    for state in ["failed", "completed"] {
        let (set, id) = (format!("bull:email:{state}"), format!("large-{state}"));
        if are_there {
            large(world, state).await?;
        } else {
            world.redis.command::<i64>(&["ZREM", &set, &id]).await;
        }
    }
    Ok(())
}

fn program(world: &World, args: &[&str]) -> anyhow::Result<Process> {
    let mut command = Command::new(alongside("api")?);
    command.args(args).env_clear().envs(world.settings()).current_dir(std::env::temp_dir());
    Ok(Process::spawn("api", &mut command))
}
