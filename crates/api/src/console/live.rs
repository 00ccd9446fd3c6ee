//! `/console/live`: a stream of events (SSE) that notifies a page when it should ask for its newer content.
//!
//! One reader of the queue's events for each process notifies all streams (`State::changes`). A stream passes at most one
//! event a second on, and one each ten seconds where nothing happens: then a page also shows what only time changes.

use std::{convert::Infallible, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL, web};
use examhall_core::UserId;
use futures_util::stream;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{guard::Console, session};
use crate::{
    access::may,
    auth::SecretToken,
    http::problem::Problem,
    state::{State, now},
};

/// Least time between two events.
const LEAST: Duration = Duration::from_secs(1);
/// Most time between two events, after which the session is looked at again, too.
const MOST: Duration = Duration::from_secs(10);
/// Browsers connect again after this time, in ms.
const FIRST: &str = "retry: 2000\n: live\n\n";
const UPDATE: &str = "event: update\ndata:\n\n";

struct Stream {
    state: web::Data<State>,
    stop: web::Data<CancellationToken>,
    changes: watch::Receiver<u64>,
    token: SecretToken,
    user: UserId,
    generation: i64,
    last: Option<Instant>,
    is_over: bool,
}

pub(super) async fn stream(
    console: Console<may::ReadQueue>,
    request: HttpRequest,
    stop: web::Data<CancellationToken>,
) -> Result<HttpResponse, Problem> {
    let token = session::token_of(&request).ok_or_else(|| Problem::unauthorized("log in first"))?;
    let state = console.state.clone();
    let changes = state.changes.subscribe();
    let (user, generation) = (console.account.id, console.account.access_generation);
    let first = Stream { state, stop, changes, token, user, generation, last: None, is_over: false };
    let events = stream::unfold(first, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(web::Bytes::from_static(event.as_bytes())), stream))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events))
}

impl Stream {
    /// The next event; none where the process stops. A session that is over gets a last one: the page then asks, and is
    /// sent to the login.
    async fn next(&mut self) -> Option<&'static str> {
        let Some(last) = self.last else {
            self.last = Some(Instant::now());
            return Some(FIRST);
        };
        if self.is_over {
            return None;
        }
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.wait(last)).await?;
        self.last = Some(Instant::now());
        Some(UPDATE)
    }

    async fn wait(&mut self, last: Instant) {
        loop {
            tokio::time::sleep(LEAST).await;
            self.is_over = self.state.revocations.ended(self.user, self.generation);
            let is_due = last.elapsed() >= MOST;
            if is_due && !self.is_over {
                let found = self.state.store.accounts.console_session(&self.token.hash(), now()).await;
                self.is_over = matches!(found, Ok(None)); // a database that is away ends nothing
            }
            // The sender is part of the state, so it is there.
            let has_changed = self.changes.has_changed().unwrap_or(false);
            if self.is_over || is_due || has_changed {
                self.changes.mark_unchanged();
                return;
            }
        }
    }
}
