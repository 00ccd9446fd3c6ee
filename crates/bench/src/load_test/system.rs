//! Some of each process, and how users call them.

use std::{
    net::SocketAddr,
    ops::{Mul, Sub},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use examhall_testkit::{Database, DatabaseKind, Process, RedisOptions, World, eventually, free_port};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::process::Command;

/// Time a busy machine may take to start a process, or to send the last mail.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(5);

/// PostgreSQL's connections report what they did once a second.
const STATISTICS: Duration = Duration::from_secs(2);

/// An installation of its own.
pub(crate) struct System {
    pub(crate) world: World,
    settings: Vec<(String, String)>,
    apis: Vec<Api>,
    mailers: Vec<Process>,
    client: Client,
    next: AtomicUsize,
}

struct Api {
    process: Process,
    base: String,
    metrics: String,
}

/// Processor time in s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    /// Of all API processes.
    pub(crate) api: f64,
    /// Of the database server and its connections' processes.
    pub(crate) database: f64,
}

/// What all processes have used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time in s.
    pub(crate) api: f64,
    pub(crate) mailers: f64,
    pub(crate) redis: f64,
    pub(crate) database: f64,
    /// Transactions of the database.
    pub(crate) transactions: f64,
}

/// A request's answer, and how long it took.
pub(crate) struct Answer {
    pub(crate) took: Duration,
    pub(crate) json: Value,
}

impl System {
    /// Starts so many of each process.
    pub(crate) async fn start(database: DatabaseKind, apis: usize, mailers: usize) -> anyhow::Result<Self> {
        let append_only = RedisOptions { append_only: true, ..RedisOptions::default() };
        let mut world = World::start_with(database, append_only).await;
        world.set("RUST_LOG", "warn");
        world.set("TRUSTED_PROXIES", "127.0.0.0/8"); // so that each user has an address of their own
        let settings = world.settings();
        let client = Client::new();
        let mut running = Vec::new();
        for _ in 0..apis {
            running.push(Api::start(&settings, &client).await?);
        }
        let mailers = (0..mailers).map(|_| spawn("mailer", &[], &settings)).collect::<anyhow::Result<_>>()?;
        Ok(Self { world, settings, apis: running, mailers, client, next: AtomicUsize::new(0) })
    }

    /// A request to one process or the other, in turns.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let api = &self.apis[turn % self.apis.len()];
        let address = format!("10.{}.{}.{}", (turn >> 16) & 255, (turn >> 8) & 255, turn & 255);
        self.client.request(method, format!("{}{path}", api.base)).header("x-forwarded-for", address)
    }

    /// The access token of an account that `api seed` made.
    pub(crate) async fn log_in(&self, email: &Value, password: &Value) -> anyhow::Result<String> {
        let body = json!({"email": email, "password": password});
        let answer = timed(self.request(Method::POST, "/auth/login").json(&body)).await?;
        Ok(answer.json["accessToken"].as_str().context("no access token")?.to_owned())
    }

    /// Results are not shown, nor mailed, before their author says so.
    pub(crate) async fn results_on_publish(&self, exam: &str, author: &str) -> anyhow::Result<()> {
        let request = self.request(Method::PATCH, exam).bearer_auth(author).json(&json!({"results": "onPublish"}));
        timed(request).await.map(drop).context("results: onPublish")
    }

    /// Runs `api seed`; returns what it made.
    pub(crate) async fn seed(&self, questions: u32, students: u32) -> anyhow::Result<Value> {
        let numbers = [questions.to_string(), students.to_string()];
        let args = ["seed", "--questions", &numbers[0], "--students", &numbers[1], "--json"];
        let mut seeding = spawn("api", &args, &self.settings)?;
        ensure!(seeding.exit(TIMEOUT).await.success(), "{}", seeding.output());
        Ok(serde_json::from_str(seeding.output().lines().last().context("api seed printed nothing")?)?)
    }

    /// How often the database was asked for something cached, by all processes together.
    pub(crate) async fn loads(&self) -> anyhow::Result<f64> {
        self.reads("loaded").await
    }

    /// Reads of something cached that came out so, in all processes together.
    pub(crate) async fn reads(&self, outcome: &str) -> anyhow::Result<f64> {
        let (mut reads, wanted) = (0.0, format!("outcome=\"{outcome}\""));
        for api in &self.apis {
            let text = self.client.get(&api.metrics).send().await?.text().await?;
            let lines = text.lines().filter(|line| line.starts_with("cache_requests_total{"));
            let such = lines.filter(|line| line.contains(&wanted));
            reads += such.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
        }
        Ok(reads)
    }

    /// Where the first API listens.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        let base = &self.apis.first().context("no API was started")?.base;
        let address = base.trim_start_matches("http://").split('/').next().unwrap_or_default();
        Ok(address.parse()?)
    }

    /// What access tokens are signed with.
    pub(crate) fn secret(&self) -> anyhow::Result<&str> {
        let secret = self.settings.iter().find(|(name, _)| name == "AUTH_SECRET");
        Ok(&secret.context("no secret")?.1)
    }

    /// Processor time that was used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        let api = self.apis.iter().map(|api| crate::usage::cpu(api.process.pid())).sum::<anyhow::Result<f64>>()?;
        let database = match &self.world.database {
            Database::Sqlite(_) => 0.0,
            Database::Postgres(server) => crate::usage::cpu_of_family(server.process().pid())?,
        };
        Ok(Cpu { api, database })
    }

    /// What everything has used until that moment.
    pub(crate) async fn usage(&self) -> anyhow::Result<(Instant, Usage)> {
        let (at, Cpu { api, database }) = (Instant::now(), self.cpu()?);
        let mailers = self.mailers.iter().map(|mailer| crate::usage::cpu(mailer.pid())).sum::<anyhow::Result<f64>>()?;
        let redis = crate::usage::cpu(self.world.redis.process().pid())?;
        tokio::time::sleep(STATISTICS).await;
        let query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        let transactions = self.world.database.sql(query).await.trim().parse()?;
        Ok((at, Usage { api, mailers, redis, database, transactions }))
    }

    /// Resident memory of an API and of a mailer, in MB.
    pub(crate) fn memory(&self) -> anyhow::Result<[f64; 2]> {
        let mailer = self.mailers.first().context("no mailer was started")?;
        let api = self.apis.first().context("no API was started")?;
        Ok([crate::usage::memory(api.process.pid())?, crate::usage::memory(mailer.pid())?])
    }

    /// Stops the clock of all mailers.
    pub(crate) fn freeze_mailers(&self) {
        self.mailers.iter().for_each(Process::freeze);
    }

    /// Lets them go on.
    pub(crate) fn thaw_mailers(&self) {
        self.mailers.iter().for_each(Process::thaw);
    }

    /// Stops the clock of all API processes.
    pub(crate) fn freeze_apis(&self) {
        self.apis.iter().for_each(|api| api.process.freeze());
    }

    /// Lets the first `count` API processes go on.
    pub(crate) fn thaw_apis(&self, count: usize) {
        self.apis.iter().take(count).for_each(|api| api.process.thaw());
    }

    /// Waits until this many mails are accepted.
    pub(crate) async fn mails(&self, count: usize) -> anyhow::Result<()> {
        let mut accepted = self.world.smtp.accepted();
        let waiting = accepted.wait_for(|accepted| *accepted >= count);
        let result = tokio::time::timeout(TIMEOUT, waiting).await;
        result.with_context(|| format!("{count} mails did not arrive"))??;
        Ok(())
    }

    /// How many mails were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        *self.world.smtp.accepted().borrow()
    }
}

impl Usage {
    /// In the order of the tables.
    pub(crate) const fn parts(self) -> [f64; 5] {
        [self.api, self.mailers, self.redis, self.database, self.transactions]
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            api: self.api - other.api,
            mailers: self.mailers - other.mailers,
            redis: self.redis - other.redis,
            database: self.database - other.database,
            transactions: self.transactions - other.transactions,
        }
    }
}

impl Mul<f64> for Usage {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        Self {
            api: self.api * times,
            mailers: self.mailers * times,
            redis: self.redis * times,
            database: self.database * times,
            transactions: self.transactions * times,
        }
    }
}

impl Api {
    async fn start(settings: &[(String, String)], client: &Client) -> anyhow::Result<Self> {
        let (port, ops) = (free_port(), free_port());
        let ports = [("API_BIND", port), ("API_OPS_BIND", ops)];
        let ports = ports.map(|(name, port)| (name.to_owned(), format!("127.0.0.1:{port}")));
        let process = spawn("api", &[], &[settings, &ports].concat())?;
        eventually("an API that is ready", TIMEOUT, async || {
            let ready = client.get(format!("http://127.0.0.1:{ops}/readyz")).send().await.ok()?;
            ready.status().is_success().then_some(())
        })
        .await;
        let base = format!("http://127.0.0.1:{port}/api/v1");
        Ok(Self { process, base, metrics: format!("http://127.0.0.1:{ops}/metrics") })
    }
}

/// Sends a request; an answer that is no 2xx is an error.
pub(crate) async fn timed(request: RequestBuilder) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let answer = request.send().await?.error_for_status()?;
    let body = answer.bytes().await?;
    let took = started.elapsed();
    Ok(Answer { took, json: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

/// Starts a program that was built with this one.
fn spawn(name: &str, args: &[&str], settings: &[(String, String)]) -> anyhow::Result<Process> {
    let mut command = Command::new(crate::mail::alongside(name)?);
    command.args(args).env_clear().envs(settings.iter().cloned()).current_dir(std::env::temp_dir());
    Ok(Process::spawn(name, &mut command))
}
