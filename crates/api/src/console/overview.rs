//! `/console`: whether mails go out, what waits, and the pause.

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use askama::Template;
use examhall_core::{ClassBacklog, HealthLevel, MailHealth, bounded_count, with_commas};

use super::{
    format,
    guard::Console,
    page::{Page, html},
};
use crate::{
    access::{Action, may},
    http::problem::Problem,
    operations::queue::{self, QueueOverview},
};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    page: &'a Page,
    health: &'a MailHealth,
    /// Absent if Redis does not answer.
    queue: Option<QueueView<'a>>,
    may_pause: bool,
}

/// What the queue holds.
struct QueueView<'a> {
    is_paused: bool,
    mailers: usize,
    backlog: Vec<ClassView<'a>>,
    counts: Vec<(&'static str, String)>,
    /// Mails that wait for a decision, if there are some.
    doubtful: Option<String>,
    sent: String,
    failed: String,
}

/// Waiting mails of a class.
struct ClassView<'a> {
    class: &'a ClassBacklog,
    queued: String,
    outbox: String,
    waits: String,
    target: String,
    is_late: bool,
    /// Share of the target that the oldest mail has waited, in percent.
    percent: u64,
}

pub(super) async fn show(console: Console<may::ReadQueue>) -> Result<HttpResponse, Problem> {
    let found = queue::overview(&console.state).await;
    let unavailable = MailHealth::redis_unavailable();
    let (health, queue) = match &found {
        Ok(found) => (&found.health, Some(view(found))),
        Err(problem) if problem.status_code() == StatusCode::SERVICE_UNAVAILABLE => (&unavailable, None),
        Err(problem) => return Err(problem.clone()),
    };
    let may_pause = console.may(Action::PauseQueue);
    let page = console.page("Overview").live();
    html(&page, &Overview { page: &page, health, queue, may_pause })
}

fn view(found: &QueueOverview) -> QueueView<'_> {
    let class = |class| class_view(class, found);
    QueueView {
        is_paused: found.facts.pause.is_some(),
        mailers: found.facts.mailers.len(),
        backlog: found.facts.waiting.iter().map(class).collect(),
        counts: found
            .counts
            .by_state()
            .map(|(state, count)| (state.as_str(), bounded_count(count.unsigned_abs())))
            .collect(),
        doubtful: (found.doubtful > 0).then(|| match found.doubtful {
            1 => "1 mail is".to_owned(),
            many => format!("{} mails are", bounded_count(many)),
        }),
        sent: with_commas(found.facts.recent.sent),
        failed: with_commas(found.facts.recent.failed),
    }
}

fn class_view<'a>(class: &'a ClassBacklog, found: &QueueOverview) -> ClassView<'a> {
    let waits = class.waits(found.facts.now).map(i64::unsigned_abs);
    let target = u64::from(class.class.target_seconds()) * 1000;
    ClassView {
        class,
        queued: bounded_count(class.queued),
        outbox: bounded_count(class.outbox),
        waits: waits.map_or_else(|| "none waits".to_owned(), format::span),
        target: format::span(target),
        is_late: class.is_late(found.facts.now),
        percent: (waits.unwrap_or_default() * 100 / target).min(100),
    }
}

impl Overview<'_> {
    fn level(&self) -> &'static str {
        match self.health.level {
            HealthLevel::Good => "good",
            HealthLevel::Warning => "warn",
            HealthLevel::Bad => "bad",
        }
    }

    /// The advice in parts: every second one is a command.
    fn advice(&self) -> Vec<(bool, &str)> {
        self.health.advice.split('`').enumerate().map(|(n, text)| (n % 2 == 1, text)).collect()
    }

    /// Where the answer leads to, if that is another page.
    fn link(&self) -> Option<(&'static str, &'static str)> {
        match self.health.link {
            "/console/mailers" => Some(("/console/mailers", "Mailers and providers")),
            "/console/failures" => Some(("/console/failures", "Failures")),
            _ => None,
        }
    }
}
