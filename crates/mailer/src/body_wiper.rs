//! Removes the bodies of mails from Redis that were sent, or cannot be sent any more: their links grant access.

use std::{collections::HashMap, time::Duration};

use examhall_core::EmailJob;
use examhall_queue::{ListOrder, Queue, State};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::payload::Payload;

/// Time that the worker has to complete a job whose mail was sent.
const PAUSE: Duration = Duration::from_millis(200);
/// A job that is not completed by then belongs to another worker.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Jobs of one call.
const BATCH: u32 = 100;
/// Jobs read at once in search of leftovers: each may have attachments.
const PAGE: u32 = 20;
/// Pause between two such pages, which are not urgent.
const PAGE_PAUSE: Duration = Duration::from_millis(20);
/// Longest interval between two searches.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Wipes jobs once they are completed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct BodyWiper(mpsc::UnboundedSender<Request>);

#[derive(Debug)]
enum Request {
    Wipe {
        id: String,
        /// The job's data without the body.
        data: String,
    },
    /// Replies when nothing is left to be wiped.
    Finish(oneshot::Sender<()>),
}

impl BodyWiper {
    pub(crate) fn new(queue: Queue<Payload>) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(Task { queue, requests, pending: HashMap::new(), finished: None }.run());
        Self(sender)
    }

    /// Removes the body of the job, as soon as the job is completed.
    pub(crate) fn wipe(&self, id: &str, job: &EmailJob) {
        if let Ok(data) = serde_json::to_value(without_body(job)) {
            let _ = self.0.send(Request::Wipe { id: id.to_owned(), data: data.to_string() }); // fails only with the runtime
        }
    }

    /// Waits until every requested body is wiped, or cannot be.
    pub(crate) async fn finish(self) {
        let (sender, finished) = oneshot::channel();
        if self.0.send(Request::Finish(sender)).is_ok() {
            let _ = finished.await; // an error means that the task has ended, too
        }
    }
}

/// The background task.
struct Task {
    queue: Queue<Payload>,
    requests: mpsc::UnboundedReceiver<Request>,
    /// Jobs that are not wiped yet, by id.
    pending: HashMap<String, Pending>,
    finished: Option<oneshot::Sender<()>>,
}

struct Pending {
    data: String,
    since: Instant,
}

impl Task {
    async fn run(mut self) {
        loop {
            if self.pending.is_empty() {
                if let Some(finished) = self.finished.take() {
                    let _ = finished.send(()); // the receiver may have gone
                    return;
                }
                match self.requests.recv().await {
                    Some(request) => self.receive(request),
                    None => return,
                }
            }
            tokio::time::sleep(PAUSE).await;
            while let Ok(request) = self.requests.try_recv() {
                self.receive(request);
            }
            self.wipe_pending().await;
        }
    }

    fn receive(&mut self, request: Request) {
        match request {
            Request::Wipe { id, data } => {
                self.pending.insert(id, Pending { data, since: Instant::now() });
            }
            Request::Finish(sender) => self.finished = Some(sender),
        }
    }

    async fn wipe_pending(&mut self) {
        let jobs: Vec<_> = self.pending.iter().map(|(id, job)| (id.clone(), job.data.clone())).collect();
        for batch in jobs.chunks(BATCH as usize) {
            match self.queue.replace_ended_data(State::Completed, batch).await {
                Ok(early) => self.pending.retain(|id, job| {
                    let is_in_batch = batch.iter().any(|(one, _)| one == id);
                    !is_in_batch || (early.contains(id) && job.since.elapsed() <= TIMEOUT)
                }),
                Err(error) => {
                    tracing::debug!(%error, "Bodies of sent mails could not be wiped yet");
                    self.pending.retain(|_, job| job.since.elapsed() <= TIMEOUT);
                }
            }
        }
    }
}

/// Wipes bodies that no mailer wipes after sending: of mails whose mailer was killed, and of failed mails that have expired.
/// Waits for Redis, and runs until dropped.
pub(crate) async fn wipe_leftovers(queue: &Queue<Payload>) {
    if queue.connection().ready().await.is_err() {
        return;
    }
    let mut wait = wipe_where(queue, State::Failed, |mail| until_expired(mail, queue.now_ms())).await;
    wipe_where(queue, State::Completed, |_| Duration::ZERO).await;
    loop {
        tokio::time::sleep(wait).await;
        wait = wipe_where(queue, State::Failed, |mail| until_expired(mail, queue.now_ms())).await;
    }
}

/// Wipes the jobs of one state whose body is not needed any more. Returns the time until the next search: until the next
/// body is not needed, but at least twenty times as long as this search took.
async fn wipe_where(queue: &Queue<Payload>, state: State, needed_for: impl Fn(&EmailJob) -> Duration) -> Duration {
    let (started, mut wait) = (Instant::now(), LONGEST_WAIT);
    for page in 0.. {
        let Ok(jobs) = queue.list(state, page * PAGE, PAGE, ListOrder::NewestFirst).await else { break };
        if jobs.is_empty() {
            break;
        }
        let mut leftovers = Vec::new();
        for job in jobs {
            let Ok(mail) = serde_json::from_value::<EmailJob>(job.data) else { continue };
            match needed_for(&mail) {
                _ if !has_body(&mail) => {}
                Duration::ZERO => {
                    let data = serde_json::to_value(without_body(&mail)).unwrap_or(Value::Null);
                    leftovers.push((job.id, data.to_string()));
                }
                span => wait = wait.min(span),
            }
        }
        if !leftovers.is_empty() && queue.replace_ended_data(state, &leftovers).await.is_err() {
            break;
        }
        tokio::time::sleep(PAGE_PAUSE).await;
    }
    wait.max(started.elapsed() * 20)
}

/// Time for which a retry can still send a failed mail.
fn until_expired(mail: &EmailJob, now: i64) -> Duration {
    let left = mail.expires_at.map_or(i64::MAX, |end| end.as_millis().saturating_sub(now));
    Duration::from_millis(left.try_into().unwrap_or(0))
}

fn has_body(mail: &EmailJob) -> bool {
    !mail.html.is_empty() || mail.text.is_some() || !mail.attachments.is_empty() || !mail.alternatives.is_empty()
}

fn without_body(mail: &EmailJob) -> EmailJob {
    EmailJob {
        to: mail.to.clone(),
        subject: mail.subject.clone(),
        from: mail.from.clone(),
        sender: mail.sender.clone(),
        reply_to: mail.reply_to.clone(),
        cc: mail.cc.clone(),
        bcc: mail.bcc.clone(),
        headers: mail.headers.clone(),
        message_id: mail.message_id.clone(),
        date: mail.date,
        expires_at: mail.expires_at,
        class: mail.class,
        ..EmailJob::default()
    }
}
