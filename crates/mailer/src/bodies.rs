//! Bodies of mails that were sent, or can be sent no more, do not stay in Redis: links in them let people in.

use std::{collections::HashMap, time::Duration};

use examhall_core::EmailJob;
use examhall_queue::{Order, Queue, State};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{attempt::now, payload::Payload};

/// How long the worker is given to complete a job whose mail was sent.
const PAUSE: Duration = Duration::from_millis(200);
/// A job that is not completed by then is somebody else's.
const PATIENCE: Duration = Duration::from_mins(1);
/// Jobs that one call looks at.
const BATCH: u32 = 100;
/// Jobs that are read at once while leftovers are looked for: all of them may have their attachments.
const PAGE: u32 = 20;
/// Between two such pages, which are not urgent.
const BREATH: Duration = Duration::from_millis(20);
/// How often leftovers are looked for at least.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Wipes jobs once they are completed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bodies(mpsc::UnboundedSender<Request>);

#[derive(Debug)]
enum Request {
    /// A job's id, and its data without the body.
    Wipe(String, String),
    /// Say when nothing is left to be wiped.
    Finish(oneshot::Sender<()>),
}

impl Bodies {
    pub(crate) fn new(queue: Queue<Payload>) -> Self {
        let (requests, asked) = mpsc::unbounded_channel();
        tokio::spawn(work(queue, asked));
        Self(requests)
    }

    /// Takes the body out of the job, as soon as that is completed.
    pub(crate) fn wipe(&self, id: &str, job: &EmailJob) {
        if let Ok(data) = serde_json::to_value(without_body(job)) {
            let _ = self.0.send(Request::Wipe(id.to_owned(), data.to_string())); // fails only with the runtime
        }
    }

    /// Waits until everything is wiped that was asked for, or cannot be.
    pub(crate) async fn finish(self) {
        let (finished, told) = oneshot::channel();
        if self.0.send(Request::Finish(finished)).is_ok() {
            let _ = told.await; // an error means that it has ended, too
        }
    }
}

async fn work(queue: Queue<Payload>, mut asked: mpsc::UnboundedReceiver<Request>) {
    let mut waiting: HashMap<String, (String, Instant)> = HashMap::new();
    let mut finished: Option<oneshot::Sender<()>> = None;
    loop {
        if waiting.is_empty() {
            if let Some(finished) = finished.take() {
                let _ = finished.send(()); // whoever has stopped listening does not wait
                return;
            }
            match asked.recv().await {
                Some(request) => note(request, &mut waiting, &mut finished),
                None => return,
            }
        }
        tokio::time::sleep(PAUSE).await;
        while let Ok(request) = asked.try_recv() {
            note(request, &mut waiting, &mut finished);
        }
        let jobs: Vec<_> = waiting.iter().map(|(id, (data, _))| (id.clone(), data.clone())).collect();
        for batch in jobs.chunks(BATCH as usize) {
            match queue.replace_ended_data(State::Completed, batch).await {
                Ok(early) => {
                    let is_over = |id: &String, (_, since): &(String, Instant)| {
                        batch.iter().any(|(one, _)| one == id) && (!early.contains(id) || since.elapsed() > PATIENCE)
                    };
                    waiting.retain(|id, one| !is_over(id, one));
                }
                Err(error) => {
                    tracing::debug!(%error, "Bodies of sent mails could not be wiped yet");
                    waiting.retain(|_, (_, since)| since.elapsed() <= PATIENCE);
                }
            }
        }
    }
}

fn note(
    request: Request,
    waiting: &mut HashMap<String, (String, Instant)>,
    finished: &mut Option<oneshot::Sender<()>>,
) {
    match request {
        Request::Wipe(id, data) => drop(waiting.insert(id, (data, Instant::now()))),
        Request::Finish(tell) => *finished = Some(tell),
    }
}

/// Bodies that no mailer takes out as it sends: those of mails whose mailer was killed, and of failed mails that no retry
/// can send any more. Waits for Redis, and goes on until it is dropped.
pub(crate) async fn wipe_leftovers(queue: &Queue<Payload>) {
    if queue.connection().ready().await.is_err() {
        return;
    }
    let mut wait = wipe_where(queue, State::Failed, until_expired).await;
    wipe_where(queue, State::Completed, |_| Duration::ZERO).await;
    loop {
        tokio::time::sleep(wait).await;
        wait = wipe_where(queue, State::Failed, until_expired).await;
    }
}

/// Wipes the jobs of one state whose mail is not needed any more. Gives when to look again: once the next one's time has
/// come, but not so often that looking takes much of the time.
async fn wipe_where(queue: &Queue<Payload>, state: State, needed_for: impl Fn(&EmailJob) -> Duration) -> Duration {
    let (started, mut wait) = (Instant::now(), LONGEST_WAIT);
    for page in 0.. {
        let Ok(jobs) = queue.list(state, page * PAGE, PAGE, Order::NewestFirst).await else { break };
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
        tokio::time::sleep(BREATH).await;
    }
    wait.max(started.elapsed() * 20)
}

/// How long a failed mail can still be sent.
fn until_expired(mail: &EmailJob) -> Duration {
    let left = mail.expires_at.map_or(i64::MAX, |end| end.as_millis().saturating_sub(now()));
    Duration::from_millis(left.try_into().unwrap_or(0))
}

fn has_body(mail: &EmailJob) -> bool {
    !mail.html.is_empty() || mail.text.is_some() || !mail.attachments.is_empty()
}

fn without_body(mail: &EmailJob) -> EmailJob {
    EmailJob {
        to: mail.to.clone(),
        subject: mail.subject.clone(),
        from: mail.from.clone(),
        reply_to: mail.reply_to.clone(),
        cc: mail.cc.clone(),
        bcc: mail.bcc.clone(),
        headers: mail.headers.clone(),
        message_id: mail.message_id.clone(),
        expires_at: mail.expires_at,
        class: mail.class,
        ..EmailJob::default()
    }
}
