//! Users: they post mails, and ask again until they have an answer.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::task::JoinSet;

/// Users at once.
const USERS: usize = 4;
/// How long a user waits for an answer, and before asking again.
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// A mail that was promised: the API has answered 202.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) job_id: String,
    /// When it was first asked for.
    pub(crate) at: OffsetDateTime,
    /// How often it was asked for.
    pub(crate) requests: usize,
}

/// The users, who end when this is dropped.
pub(crate) struct Producer {
    shared: Arc<Shared>,
    users: JoinSet<()>,
}

struct Shared {
    client: Client,
    bases: Mutex<Vec<String>>,
    log_in: (String, String),
    token: Mutex<String>,
    next: AtomicUsize,
    mails: usize,
    /// Time between two mails of a user.
    interval: Duration,
    stops: AtomicBool,
    promises: Mutex<Vec<Promise>>,
}

impl Producer {
    /// Begins to post so many mails, at this rate in mails per second.
    pub(crate) fn start(bases: Vec<String>, log_in: (String, String), mails: usize, rate: f64) -> Self {
        let shared = Arc::new(Shared {
            client: Client::new(),
            bases: Mutex::new(bases),
            log_in,
            token: Mutex::default(),
            next: AtomicUsize::new(0),
            mails,
            interval: Duration::from_secs_f64(4.0 / rate),
            stops: AtomicBool::new(false),
            promises: Mutex::default(),
        });
        let mut users = JoinSet::new();
        for _ in 0..USERS {
            let shared = Arc::clone(&shared);
            users.spawn(async move { shared.post_all().await });
        }
        Self { shared, users }
    }

    /// From now on the APIs are there.
    pub(crate) fn move_to(&self, bases: Vec<String>) {
        *lock(&self.shared.bases) = bases;
    }

    /// Takes what was promised since.
    pub(crate) fn take(&self) -> Vec<Promise> {
        std::mem::take(&mut *lock(&self.shared.promises))
    }

    /// How many mails were begun.
    pub(crate) fn begun(&self) -> usize {
        self.shared.next.load(Ordering::Relaxed).min(self.shared.mails)
    }

    /// As an operator who has failed mails tried again.
    pub(crate) async fn retry(&self, job_ids: &[String]) -> anyhow::Result<()> {
        let base = lock(&self.shared.bases)[0].clone();
        self.shared.log_in(&base).await?;
        let token = lock(&self.shared.token).clone();
        for id in job_ids {
            let request = self.shared.client.post(format!("{base}/emails/{id}/retry")).bearer_auth(&token);
            request.timeout(TIMEOUT).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// Begins no further mail, and waits for the answers to those that were begun.
    pub(crate) async fn finish(&mut self) -> Vec<Promise> {
        self.shared.stops.store(true, Ordering::Relaxed);
        while self.users.join_next().await.is_some() {}
        self.take()
    }
}

impl Shared {
    async fn post_all(&self) {
        while !self.stops.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.mails {
                return;
            }
            let at = OffsetDateTime::now_utc();
            let mut requests = 1;
            let job_id = loop {
                match self.post(number, requests).await {
                    Ok(job_id) => break job_id,
                    Err(_) => tokio::time::sleep(PAUSE).await, // the API is away: it may have done it or not
                }
                requests += 1;
            };
            lock(&self.promises).push(Promise { job_id, at, requests });
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn post(&self, number: usize, turn: usize) -> anyhow::Result<String> {
        let bases = lock(&self.bases).clone();
        let base = &bases[(number + turn) % bases.len()];
        let token = lock(&self.token).clone();
        let mail = json!({
            "to": format!("student{number}@example.com"), "subject": format!("Result {number}"), "html": "<p>83 %</p>",
            "priority": 1 + number % 10,
        });
        let request = self.client.post(format!("{base}/emails")).bearer_auth(token).timeout(TIMEOUT);
        let answer = request.header("idempotency-key", format!("mail-{number}")).json(&mail).send().await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.log_in(base).await?;
        }
        let answer: Value = answer.error_for_status()?.json().await?;
        Ok(answer["jobId"].as_str().context("no id")?.to_owned())
    }

    async fn log_in(&self, base: &str) -> anyhow::Result<()> {
        let body = json!({"email": self.log_in.0, "password": self.log_in.1});
        let answer = self.client.post(format!("{base}/auth/login")).timeout(TIMEOUT).json(&body).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        answer["accessToken"].as_str().context("no token")?.clone_into(&mut lock(&self.token));
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no user panicked")
}
