//! Bodies of sent mails do not stay in Redis: links in them let people in.

use std::{collections::HashMap, time::Duration};

use examhall_core::EmailJob;
use examhall_queue::{Order, Queue, State};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::payload::Payload;

/// How long the worker is given to complete a job whose mail was sent.
const PAUSE: Duration = Duration::from_millis(200);
/// A job that is not completed by then is somebody else's.
const PATIENCE: Duration = Duration::from_mins(1);
/// Jobs that one call looks at.
const BATCH: u32 = 100;
/// Between two calls while leftovers are looked for, which is not urgent.
const BREATH: Duration = Duration::from_millis(20);

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
            match queue.wipe(batch).await {
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

/// A mailer that was killed may have left bodies behind. Waits for Redis.
pub(crate) async fn wipe_leftovers(queue: &Queue<Payload>) {
    if queue.connection().ready().await.is_err() {
        return;
    }
    for page in 0.. {
        let Ok(jobs) = queue.list(State::Completed, page * BATCH, BATCH, Order::NewestFirst).await else { return };
        if jobs.is_empty() {
            return;
        }
        let leftovers: Vec<_> = jobs
            .into_iter()
            .filter_map(|job| serde_json::from_value::<EmailJob>(job.data).ok().map(|mail| (job.id, mail)))
            .filter(|(_, mail)| has_body(mail))
            .map(|(id, mail)| (id, serde_json::to_value(without_body(&mail)).unwrap_or(Value::Null).to_string()))
            .collect();
        if !leftovers.is_empty() && queue.wipe(&leftovers).await.is_err() {
            return;
        }
        tokio::time::sleep(BREATH).await;
    }
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
