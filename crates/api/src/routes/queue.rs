//! `/queue`: the mail queue as a whole.

use actix_web::web;
use examhall_core::{ClassBacklog, MailHealth, Pause, Priority, Timestamp, WaitingClass};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::email_status::moment;
use crate::{
    access::{Allowed, may},
    audit::{self, Done},
    http::{authorized::Authorized, body::OptionalBody, problem::Problem, respond::NoContent},
    openapi::{Operation, get, post},
    operations::queue::{self, QueueOverview},
    state::State,
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/queue", "readQueue", "See how the queue is", read),
        post("/queue/pause", "pauseQueue", "Pause the queue", pause),
        post("/queue/resume", "resumeQueue", "Resume the queue", resume),
    ]
}

/// The mail queue.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Queue")]
struct QueueStatus {
    /// Whether mails go out, in one sentence.
    health: MailHealth,
    paused: bool,
    /// Who paused it, when and why, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<Pause>,
    /// Mailers that run.
    mailers: usize,
    /// The most urgent class first.
    backlog: Vec<BacklogView>,
    counts: Counts,
    /// Mails that are committed and not in the queue yet.
    outbox: u64,
    oldest_waiting: Vec<Oldest>,
    ended_last_minute: Ended,
}

/// Jobs by state.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Counts {
    waiting: i64,
    prioritized: i64,
    delayed: i64,
    active: i64,
    completed: i64,
    failed: i64,
}

/// The oldest waiting mail of a priority.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Oldest {
    #[schemars(range(min = 1, max = 10))]
    priority: u8,
    since: Option<Timestamp>,
}

/// Jobs that ended.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Ended {
    completed: i64,
    failed: i64,
}

/// Waiting mails of a class, in the outbox and in the queue.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClassBacklog")]
struct BacklogView {
    /// `urgent` is verification and reset.
    class: WaitingClass,
    mails: u64,
    /// How many of them are in the outbox.
    outbox: u64,
    /// Since when the oldest one waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// How long a mail of the class may wait.
    target_seconds: u32,
    /// Whether the oldest one has waited longer.
    late: bool,
}

impl BacklogView {
    fn new(class: &ClassBacklog, now: Timestamp) -> Self {
        Self {
            class: class.class,
            mails: class.mails(),
            outbox: class.outbox,
            since: class.since(),
            target_seconds: class.class.target_seconds(),
            late: class.is_late(now),
        }
    }
}

async fn read(state: web::Data<State>, _: Allowed<may::ReadQueue>) -> Result<web::Json<QueueStatus>, Problem> {
    let QueueOverview { health, facts, counts, oldest, ended, .. } = queue::overview(&state).await?;
    let oldest = oldest.into_iter().map(|one| Oldest {
        priority: Priority::from_bullmq(one.priority).level(),
        since: moment(Some(one.timestamp)),
    });
    Ok(web::Json(QueueStatus {
        health,
        paused: facts.pause.is_some(),
        mailers: facts.mailers.len(),
        backlog: facts.waiting.iter().map(|class| BacklogView::new(class, facts.now)).collect(),
        outbox: facts.waiting.iter().map(|class| class.outbox).sum(),
        pause: facts.pause,
        counts: Counts {
            waiting: counts.waiting,
            prioritized: counts.prioritized,
            delayed: counts.delayed,
            active: counts.active,
            completed: counts.completed,
            failed: counts.failed,
        },
        oldest_waiting: oldest.collect(),
        ended_last_minute: Ended { completed: ended.completed, failed: ended.failed },
    }))
}

/// Why the queue is paused.
#[derive(Default, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pausing {
    /// Everybody who looks at the queue sees it.
    #[garde(length(chars, min = 1, max = 500))]
    #[schemars(length(min = 1, max = 500))]
    reason: Option<String>,
}

async fn pause(
    state: web::Data<State>,
    Authorized(by, OptionalBody(body)): Authorized<Allowed<may::PauseQueue>, OptionalBody<Pausing>>,
) -> Result<NoContent, Problem> {
    queue::pause(&state, by.viewer.id, body.reason.clone()).await?;
    audit::record(&state, &by, Done::all(1).because(body.reason)).await;
    Ok(NoContent)
}

async fn resume(state: web::Data<State>, by: Allowed<may::ResumeQueue>) -> Result<NoContent, Problem> {
    queue::resume(&state).await?;
    audit::record(&state, &by, Done::all(1)).await;
    Ok(NoContent)
}
