//! Pause and resume of the queue.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::{
    guard::Console,
    page::{Notice, NoticeKind, answer},
};
use crate::{
    access::may,
    audit::Done,
    http::{authorized::Authorized, problem::Problem},
    operations::queue,
};

/// Longest reason, in characters.
const MAX_REASON: usize = 500;

#[derive(Deserialize)]
pub(super) struct Why {
    #[serde(default)]
    reason: String,
}

pub(super) async fn pause(
    Authorized(console, web::Form(why)): Authorized<Console<may::PauseQueue>, web::Form<Why>>,
) -> Result<HttpResponse, Problem> {
    let reason: String = why.reason.trim().chars().take(MAX_REASON).collect();
    let reason = (!reason.is_empty()).then_some(reason);
    queue::pause(&console.state, console.account.id, reason.clone()).await?;
    console.record(Done::all(1).because(reason)).await;
    Ok(answer("/console", &Notice::new(NoticeKind::Warn, "The queue is paused: no mail is sent until it is resumed.")))
}

pub(super) async fn resume(console: Console<may::ResumeQueue>) -> Result<HttpResponse, Problem> {
    queue::resume(&console.state).await?;
    console.record(Done::all(1)).await;
    Ok(answer("/console", &Notice::new(NoticeKind::Good, "The queue is resumed: mails are sent again.")))
}
