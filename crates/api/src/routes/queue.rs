//! `/queue`: the mail queue as a whole.

use std::time::Duration;

use actix_web::web;
use examhall_core::{Priority, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::email_status::moment;
use crate::{
    access::{Allowed, may},
    audit::{self, Done},
    http::{problem::Problem, respond::NoContent},
    openapi::{Operation, get, post},
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
    paused: bool,
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

async fn read(state: web::Data<State>, _: Allowed<may::ReadQueue>) -> Result<web::Json<QueueStatus>, Problem> {
    let counts = state.queue.counts().await?;
    let oldest = state.queue.oldest_waiting().await?;
    let ended = state.queue.ended_within(Duration::from_mins(1)).await?;
    Ok(web::Json(QueueStatus {
        paused: state.queue.is_paused().await?,
        counts: Counts {
            waiting: counts.waiting,
            prioritized: counts.prioritized,
            delayed: counts.delayed,
            active: counts.active,
            completed: counts.completed,
            failed: counts.failed,
        },
        outbox: state.store.outbox.backlog().await?.mails,
        oldest_waiting: oldest
            .into_iter()
            .map(|one| Oldest {
                priority: Priority::from_bullmq(one.priority).level(),
                since: moment(Some(one.timestamp)),
            })
            .collect(),
        ended_last_minute: Ended { completed: ended.completed, failed: ended.failed },
    }))
}

async fn pause(state: web::Data<State>, by: Allowed<may::PauseQueue>) -> Result<NoContent, Problem> {
    state.queue.pause().await?;
    audit::record(&state, &by, Done::all(1)).await;
    tracing::info!("Queue paused by an administrator");
    Ok(NoContent)
}

async fn resume(state: web::Data<State>, by: Allowed<may::ResumeQueue>) -> Result<NoContent, Problem> {
    state.queue.resume().await?;
    audit::record(&state, &by, Done::all(1)).await;
    tracing::info!("Queue resumed by an administrator");
    Ok(NoContent)
}
