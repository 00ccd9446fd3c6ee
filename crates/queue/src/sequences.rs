//! Random sequences of steps of producers, workers and operators, with clients that vanish between scripts: after each step
//! every job that was added and not removed is in exactly one state.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{Backoff, RetryPolicy};
use examhall_testkit::Redis;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};

use crate::{
    Attempts, Connection, Deduplication, Failure, JobOptions, NewJob, Outcome, Queue, State, job::TakenJob, script,
    worker::sequences::Poller,
};

/// Number of workers.
const WORKERS: usize = 3;

/// Ids that jobs may have.
const IDS: [&str; 16] =
    ["n-0", "n-1", "n-2", "n-3", "n-4", "n-5", "é", " ", "a b", "{x}", "\"", "a\nb", "-1", "1e3", "nil", "completed-"];
/// Ids that no job has: names of other keys of the queue, and parts of them.
const REFUSED_IDS: [&str; 5] = ["", "meta", "failed", "a:b", "dn:d"];

#[derive(Clone, Debug)]
enum Step {
    Add { priority: u32, delay: u64, attempts: u32, id: Option<&'static str>, data: Value },
    AddRefused(Box<JobOptions>),
    RemoveRefused(&'static str),
    AddMany(u8),
    AddDeduplicated { delay: u64, replace: bool, keep_last: bool },
    FreeDeduplicationId,
    Take { worker: usize, jobs: usize },
    End { worker: usize, how: How, and_take: usize },
    Vanish { worker: usize },
    LocksEnd,
    LookForStalled,
    Retry(u8),
    RetryFailed,
    Promote,
    Remove(u8),
    Clean(State),
    Pause,
    Resume,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Completed,
    Failed,
    Unrecoverable,
    Snoozed,
    RateLimited,
    Released,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let how = prop_oneof![
        4 => Just(How::Completed), 3 => Just(How::Failed), 1 => Just(How::Unrecoverable), 1 => Just(How::Snoozed),
        1 => Just(How::RateLimited), 1 => Just(How::Released),
    ];
    let priority = prop_oneof![8 => 0..4u32, 1 => Just(JobOptions::MAX_PRIORITY)];
    let delay = prop_oneof![3 => Just(0u64), 1 => Just(1), 1 => Just(60_000)];
    let attempts = prop_oneof![8 => 0..3u32, 1 => Just(u32::MAX)];
    let data = [Value::Null, "\0\u{7f}é".into(), json!(1e308), json!([]), json!({"": {"jobId": "meta"}})];
    let (id, data) = (prop::option::of(prop::sample::select(&IDS)), prop::sample::select(data.to_vec()));
    let add = (priority, delay, attempts, id, data).prop_map(|(priority, delay, attempts, id, data)| Step::Add {
        priority,
        delay,
        attempts,
        id,
        data,
    });
    let refused = prop::sample::select(refused().to_vec());
    let state = prop::sample::select(vec![State::Waiting, State::Delayed, State::Completed, State::Failed]);
    let step = prop_oneof![
        6 => add,
        1 => refused.prop_map(|options| Step::AddRefused(Box::new(options))),
        1 => prop::sample::select(&REFUSED_IDS).prop_map(Step::RemoveRefused),
        2 => (1..8u8).prop_map(Step::AddMany),
        4 => (prop_oneof![Just(0u64), Just(60_000)], any::<bool>(), any::<bool>())
            .prop_map(|(delay, replace, keep_last)| Step::AddDeduplicated { delay, replace, keep_last }),
        1 => Just(Step::FreeDeduplicationId),
        8 => (0..WORKERS, 1..4usize).prop_map(|(worker, jobs)| Step::Take { worker, jobs }),
        8 => (0..WORKERS, how, 0..3usize).prop_map(|(worker, how, and_take)| Step::End { worker, how, and_take }),
        2 => (0..WORKERS).prop_map(|worker| Step::Vanish { worker }),
        1 => Just(Step::LocksEnd),
        2 => Just(Step::LookForStalled),
        1 => any::<u8>().prop_map(Step::Retry),
        1 => Just(Step::RetryFailed),
        1 => Just(Step::Promote),
        1 => any::<u8>().prop_map(Step::Remove),
        1 => state.prop_map(Step::Clean),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
    ];
    prop::collection::vec(step, 1..40)
}

/// Options that no job may be added with.
fn refused() -> [JobOptions; 10] {
    let (good, forever) = (JobOptions::default, Duration::MAX);
    let [first, .., last] = REFUSED_IDS.map(|id| good().job_id(id));
    [
        first,
        last,
        good().job_id("meta"),
        good().job_id("7"),
        good().delay(forever),
        JobOptions { priority: u32::MAX, ..good() },
        JobOptions { timestamp: Some(-1), ..good() },
        good().deduplication(Deduplication::simple("")),
        good().deduplication(Deduplication::ttl("d", forever)),
        JobOptions { retry: RetryPolicy { attempts: 1, backoff: Backoff::fixed(forever) }, ..good() },
    ]
}

/// A queue, its workers with their jobs, and the ids that must exist.
struct World<'a> {
    redis: &'a Redis,
    queue: Queue<Value>,
    pollers: Vec<Poller>,
    jobs: Vec<Vec<Arc<TakenJob>>>,
    expected: BTreeSet<String>,
}

impl World<'_> {
    async fn take(&mut self, step: &Step) -> Result<(), crate::Error> {
        match step {
            Step::Add { priority, delay, attempts, id, data } => {
                let options = JobOptions {
                    priority: *priority,
                    delay: Duration::from_millis(*delay),
                    job_id: id.map(str::to_owned),
                    retry: RetryPolicy { attempts: *attempts, backoff: Backoff::fixed(Duration::ZERO) },
                    ..JobOptions::default()
                };
                let job = NewJob { data: data.clone(), ..job(options) };
                self.expected.insert(self.queue.add(job).await?);
            }
            // A good job next to it is not added, either.
            Step::AddRefused(options) => {
                let jobs = [job(JobOptions::default()), job((**options).clone())];
                assert!(self.queue.add_all(&jobs).await.is_err(), "{options:?}");
            }
            Step::RemoveRefused(id) => assert!(self.queue.remove(id).await.is_err(), "{id:?}"),
            Step::AddMany(count) => {
                let jobs: Vec<_> = (0..*count).map(|_| job(JobOptions::default())).collect();
                self.expected.extend(self.queue.add_all(&jobs).await?);
            }
            Step::AddDeduplicated { delay, replace, keep_last } => {
                let deduplication = Deduplication::simple("d").replace(*replace).keep_last_if_active(*keep_last);
                let options = JobOptions::default().delay(Duration::from_millis(*delay)).deduplication(deduplication);
                let owner = self.queue.deduplication_owner("d").await?.unwrap_or("none".into());
                let due: Option<String> = self.redis.cmd(&format!("ZSCORE bull:email:delayed {owner}")).await;
                self.expected.insert(self.queue.add(job(options)).await?);
                if *replace && due.is_some() {
                    self.expected.remove(&owner);
                }
            }
            Step::FreeDeduplicationId => drop(self.queue.free_deduplication_id("d", None).await?),
            Step::Take { worker, jobs } => {
                let taken = self.pollers[*worker].poll(&self.queue, None, *jobs).await?;
                self.jobs[*worker].extend(taken);
            }
            Step::End { worker, how, and_take } => {
                let ended = self.jobs[*worker].pop().map(|job| (job, outcome(*how)));
                let kept: Option<String> = self.redis.cmd("HGET bull:email:dn:d jid").await;
                let taken = self.pollers[*worker].poll(&self.queue, ended, *and_take).await?;
                self.jobs[*worker].extend(taken);
                if self.redis.cmd::<i64>("EXISTS bull:email:dn:d").await == 0 {
                    self.expected.extend(kept); // the end of the job before has added it
                }
            }
            Step::Vanish { worker } => self.jobs[*worker].clear(),
            Step::LocksEnd => {
                for key in self.redis.cmd::<Vec<String>>("KEYS bull:email:*:lock").await {
                    self.redis.cmd::<i64>(&format!("DEL {key}")).await;
                }
            }
            Step::LookForStalled => {
                self.redis.cmd::<i64>("DEL bull:email:stalled-check").await;
                self.queue.eval::<()>(&script::RECOVER, vec!["1".into(), "60000".into(), "5".into()]).await?;
            }
            step => return self.operate(step).await,
        }
        Ok(())
    }

    async fn operate(&mut self, step: &Step) -> Result<(), crate::Error> {
        match step {
            // A call that the job's state does not allow changes nothing, which is tested here.
            Step::Retry(n) => drop(self.queue.retry(&self.one(*n), Attempts::Reset).await),
            Step::RetryFailed => drop(self.queue.retry_failed(None, Attempts::Keep).await?),
            Step::Promote => drop(self.queue.promote_all().await?),
            Step::Remove(n) => {
                let id = self.one(*n);
                if self.queue.remove(&id).await.is_ok() {
                    self.expected.remove(&id);
                }
            }
            Step::Clean(state) => {
                for id in self.queue.clean(*state, Duration::ZERO, 2).await? {
                    self.expected.remove(&id);
                }
            }
            Step::Pause => self.queue.pause().await?,
            _ => self.queue.resume().await?,
        }
        Ok(())
    }

    fn one(&self, n: u8) -> String {
        self.expected.iter().cycle().nth(usize::from(n)).cloned().unwrap_or_default()
    }

    /// Reads the ids of all states, with repetitions.
    async fn found(&self) -> Vec<String> {
        const ALL: &str = "local ids = {}
            for _, key in ipairs({'wait', 'paused', 'active'}) do
              for _, id in ipairs(redis.call('LRANGE', 'bull:email:' .. key, 0, -1)) do ids[#ids + 1] = id end
            end
            for _, key in ipairs({'prioritized', 'delayed', 'completed', 'failed'}) do
              for _, id in ipairs(redis.call('ZRANGE', 'bull:email:' .. key, 0, -1)) do ids[#ids + 1] = id end
            end
            table.sort(ids)
            return ids";
        self.redis.command(&["EVAL", ALL, "0"]).await
    }
}

fn job(options: JobOptions) -> NewJob<Value> {
    NewJob { name: "x".into(), data: Value::Null, options }
}

fn outcome(how: How) -> Outcome {
    match how {
        How::Completed => Outcome::Completed(Value::Null),
        How::Failed => Outcome::Failed(Failure::new("boom")),
        How::Unrecoverable => Outcome::Unrecoverable(Failure::new("boom")),
        How::Snoozed => Outcome::Snoozed(Duration::from_millis(1)),
        How::RateLimited => Outcome::RateLimited(Duration::from_millis(1)),
        How::Released => Outcome::Released,
    }
}

async fn holds(redis: &Redis, connection: &Connection, steps: &[Step]) -> Result<(), TestCaseError> {
    redis.cmd::<String>("FLUSHALL").await;
    let queue = Queue::new(connection.clone(), "bull", "email").expect("good names");
    let pollers = (0..WORKERS).map(|_| Poller::new()).collect();
    let mut world = World { redis, queue, pollers, jobs: vec![vec![]; WORKERS], expected: BTreeSet::new() };
    for step in steps {
        world.take(step).await.map_err(|error| TestCaseError::fail(format!("{step:?}: {error}")))?;
        let found = world.found().await;
        let expected: Vec<String> = world.expected.iter().cloned().collect();
        prop_assert_eq!(&found, &expected, "after {:?}", step);
    }
    Ok(())
}

#[tokio::test]
async fn jobs_are_reclaimed_in_bounded_answers() {
    let redis = Redis::start().await;
    let connection = Connection::open(&redis.url()).expect("a good URL");
    connection.ready().await.expect("connected");
    let queue: Queue<Value> = Queue::new(connection, "bull", "email").expect("good names");
    let (mut poller, mut known) = (Poller::new(), Vec::new());
    for _ in 0..7 {
        let large = NewJob { data: "x".repeat(3 << 20).into(), ..job(JobOptions::default()) };
        queue.add(large).await.expect("added");
        let taken: Vec<_> = poller.poll(&queue, None, 1).await.expect("taken").collect();
        assert_eq!(taken.len(), 1);
    }
    redis.cmd::<i64>("DEL bull:email:3:lock").await;
    redis.cmd::<i64>("RPUSH bull:email:3:lock of another type").await;
    let mut answers = Vec::new();
    loop {
        let (jobs, has_more) = poller.reclaim(&queue, &known).await.expect("reclaimed");
        answers.push(jobs.len());
        known.extend(jobs.into_iter().map(Arc::new));
        if !has_more {
            break;
        }
    }
    assert_eq!(answers, [2, 2, 2], "8 MiB at once, and one job has lost its lock");
}

#[test]
fn no_sequence_of_steps_loses_or_duplicates_a_job() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (redis, connection) = runtime.block_on(async {
        let redis = Redis::start().await;
        let connection = Connection::open(&redis.url()).expect("a good URL");
        connection.ready().await.expect("connected");
        (redis, connection)
    });
    let cases = if std::env::var_os("EXAMHALL_LONG").is_some() { 10_000 } else { 500 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&steps(), |steps| runtime.block_on(holds(&redis, &connection, &steps)));
    runtime.block_on(async { drop(redis) });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
