//! Our worker, and a ledger of what it ran.

use std::{sync::Arc, time::Duration};

use examhall_queue::{
    ChildFailure, Failure, FlowJob, FlowProducer, Job, JobOptions, Outcome, Queue, Worker, WorkerControl, WorkerOptions,
};
use examhall_testkit::eventually;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::scenario::{TIMEOUT, connect, now_ms};

/// Options for short scenarios, with a lock that a busy machine can renew in time.
pub(crate) fn quick() -> WorkerOptions {
    WorkerOptions::default()
        .lock(Duration::from_secs(4))
        .stalled_interval(Duration::from_secs(1))
        .drain_delay(Duration::from_secs(1))
        .max_stalls(1)
        .name("rust-1")
}

/// A running worker of ours.
pub(crate) struct Ours {
    stop: CancellationToken,
    running: JoinHandle<()>,
    ledger: Arc<Ledger>,
    control: WorkerControl,
}

struct Ledger {
    runs: Mutex<Vec<Run>>,
    /// Ids of gated jobs that have lost their lease.
    lost: Mutex<Vec<String>>,
    /// Releases a gated job for each permit.
    gate: Semaphore,
}

/// A run of a job by our worker.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    /// When it started, in ms since 1970.
    pub(crate) at: i64,
    pub(crate) attempts_made: u32,
}

impl Ours {
    pub(crate) async fn start(url: &str, options: WorkerOptions) -> Self {
        Self::of(url, "bull", "email", options).await
    }

    /// Starts a worker of another queue.
    pub(crate) async fn of(url: &str, prefix: &str, queue: &str, options: WorkerOptions) -> Self {
        let connection = connect(url).await;
        let flows = FlowProducer::new(connection.clone(), "bull");
        let queue: Queue<Value> = Queue::new(connection, prefix, queue).expect("good names");
        let ledger = Arc::new(Ledger { runs: Mutex::default(), lost: Mutex::default(), gate: Semaphore::new(0) });
        let (stop, shared) = (CancellationToken::new(), Arc::clone(&ledger));
        let handler = move |job: Job<Value>| {
            let (ledger, flows) = (Arc::clone(&shared), flows.clone());
            async move {
                let waits = job.data["children"].is_array() && add_children(&flows, &job).await;
                let outcome = handle(ledger, job).await;
                if waits { Outcome::WaitingChildren } else { outcome }
            }
        };
        let worker = Worker::new(queue, options, handler).expect("good options");
        let control = worker.control();
        Self { running: tokio::spawn(worker.run(stop.clone())), stop, ledger, control }
    }

    /// Returns the runs so far.
    pub(crate) fn runs(&self) -> Vec<Run> {
        self.ledger.runs.lock().clone()
    }

    /// Returns the job ids of the runs so far, in order.
    pub(crate) fn ran(&self) -> Vec<String> {
        self.runs().into_iter().map(|run| run.id).collect()
    }

    /// Waits for `count` runs, and returns all runs.
    pub(crate) async fn after_runs(&self, count: usize) -> Vec<Run> {
        let enough = || async { Some(self.runs()).filter(|runs| runs.len() >= count) };
        eventually(&format!("{count} runs by our worker"), TIMEOUT, enough).await
    }

    /// Waits until a gated job has lost its lease.
    pub(crate) async fn after_loss_of(&self, id: &str) {
        let is_lost = || async {
            let lost = self.ledger.lost.lock();
            lost.iter().any(|lost| lost == id).then_some(())
        };
        eventually(&format!("job {id} has lost its lease"), TIMEOUT, is_lost).await;
    }

    /// Returns the worker's control.
    pub(crate) fn control(&self) -> &WorkerControl {
        &self.control
    }

    /// Releases N gated jobs.
    pub(crate) fn release(&self, jobs: usize) {
        self.ledger.gate.add_permits(jobs);
    }

    /// Stops the worker, and panics if it has panicked.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.await.expect("the worker stops");
    }
}

/// Does what a job's data says, in the terms of `node/bullmq.mjs`.
async fn handle(ledger: Arc<Ledger>, job: Job<Value>) -> Outcome {
    let run = Run { id: job.id.clone(), at: now_ms(), attempts_made: job.attempts_made };
    ledger.runs.lock().push(run);
    let number = |name: &str| job.data[name].as_u64().unwrap_or(0);
    if u64::from(job.attempts_started) <= number("hangs") {
        std::future::pending::<()>().await;
    }
    for progress in job.data["progress"].as_array().into_iter().flatten() {
        job.claim.set_progress(progress).await.expect("stored");
    }
    for line in job.data["log"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        job.claim.log(line).await.expect("stored");
    }
    if number("gated") > 0 {
        let loss = async {
            job.claim.lost().await;
            ledger.lost.lock().push(job.id.clone());
            std::future::pending::<()>().await;
        };
        tokio::select! {
            permit = ledger.gate.acquire() => permit.expect("never closed").forget(),
            () = loss => {}
        }
    }
    tokio::time::sleep(Duration::from_millis(number("takes"))).await; // the work of the job
    if job.data["cancellable"].as_bool() == Some(true) {
        job.claim.cancelled().await;
        let failure = Failure::new(format!("cancelled {}", job.attempts_made));
        return if job.attempts_made > 0 { Outcome::Unrecoverable(failure) } else { Outcome::Failed(failure) };
    }
    if let Some(reason) = job.data["unrecoverable"].as_str() {
        return Outcome::Unrecoverable(Failure::new(reason));
    }
    if u64::from(job.attempts_made) < number("failures") {
        return Outcome::Failed(Failure::new(format!("boom{}", job.attempts_made + 1)));
    }
    Outcome::Completed(job.data["value"].clone())
}

/// Reads a job of a flow in Node's form.
pub(crate) fn to_flow(json: &Value) -> FlowJob {
    let mut options = JobOptions::from_json(&json["opts"]);
    options.job_id = json["opts"]["jobId"].as_str().map(ToOwned::to_owned);
    let flags = [
        ("failParentOnFailure", ChildFailure::FailParent),
        ("continueParentOnFailure", ChildFailure::ContinueParent),
        ("ignoreDependencyOnFailure", ChildFailure::Ignore),
        ("removeDependencyOnFailure", ChildFailure::RemoveDependency),
    ];
    let policy = flags.into_iter().find(|(flag, _)| json["opts"][flag] == true).map(|(_, policy)| policy);
    let text = |name: &str| json[name].as_str().unwrap_or_default();
    let data = json.get("data").cloned().unwrap_or_else(|| serde_json::json!({}));
    let job = FlowJob::new(text("queueName"), text("name"), &data).expect("JSON").options(options);
    let job = job.on_failure(policy.unwrap_or_default());
    let job = if text("prefix").is_empty() { job } else { job.prefix(text("prefix")) };
    job.children(json["children"].as_array().into_iter().flatten().map(to_flow))
}

/// Adds a job's children at its first run, and returns whether it waits for them.
async fn add_children(flows: &FlowProducer, job: &Job<Value>) -> bool {
    for child in job.data["children"].as_array().into_iter().flatten().filter(|_| job.attempts_started == 1) {
        let child = to_flow(child).parent(job.claim.key().expect("a job of a queue"));
        flows.add(&child).await.expect("added");
    }
    job.attempts_started == 1
}
