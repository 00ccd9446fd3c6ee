//! `/queue`: the mail queue as a whole.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use examhall_core::{Priority, Timestamp};
use serde::Serialize;

use super::email_status::moment;
use crate::{
    http::{extract::Admin, problem::Problem},
    state::State,
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::resource("/queue").route(web::get().to(read)))
        .service(web::resource("/queue/pause").route(web::post().to(pause)))
        .service(web::resource("/queue/resume").route(web::post().to(resume)));
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueStatus {
    paused: bool,
    counts: Counts,
    /// Mails that are committed and not in the queue yet.
    outbox: u64,
    oldest_waiting: Vec<Oldest>,
    ended_last_minute: Ended,
}

#[derive(Serialize)]
struct Counts {
    waiting: i64,
    prioritized: i64,
    delayed: i64,
    active: i64,
    completed: i64,
    failed: i64,
}

#[derive(Serialize)]
struct Oldest {
    priority: u8,
    since: Option<Timestamp>,
}

#[derive(Serialize)]
struct Ended {
    completed: i64,
    failed: i64,
}

async fn read(state: web::Data<State>, Admin(_): Admin) -> Result<HttpResponse, Problem> {
    let counts = state.queue.counts().await?;
    let oldest = state.queue.oldest_waiting().await?;
    let ended = state.queue.ended_within(Duration::from_mins(1)).await?;
    Ok(HttpResponse::Ok().json(QueueStatus {
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

async fn pause(state: web::Data<State>, Admin(_): Admin) -> Result<HttpResponse, Problem> {
    state.queue.pause().await?;
    tracing::info!("Queue paused by an administrator");
    Ok(HttpResponse::NoContent().finish())
}

async fn resume(state: web::Data<State>, Admin(_): Admin) -> Result<HttpResponse, Problem> {
    state.queue.resume().await?;
    tracing::info!("Queue resumed by an administrator");
    Ok(HttpResponse::NoContent().finish())
}
