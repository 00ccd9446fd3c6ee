//! `/console/mails/{id}`: one mail, and what happened to it.

use actix_web::HttpResponse;
use askama::Template;

use super::{
    format,
    guard::Console,
    mails::{action_path, badge, encoded, search_path, shown},
    page::{Page, html},
};
use crate::{
    access::may,
    http::{extract::Id, problem::Problem},
    operations::{
        actions::MailAction,
        timeline::{self, MailEvent},
    },
    routes::{email_status::EmailStatus, suppressions::SuppressionView},
};

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage<'a> {
    page: &'a Page,
    mail: &'a EmailStatus,
    badge: (&'static str, &'static str),
    reason: Option<&'a str>,
    events: Vec<EventRow>,
    suppressions: Vec<SuppressionView>,
    actions: Vec<(String, &'static str)>,
    /// Path of its body.
    body: Option<String>,
    /// Path of a search for each recipient, and the recipient.
    recipients: Vec<(String, &'a str)>,
}

struct EventRow {
    event: MailEvent,
    label: &'static str,
    look: &'static str,
    took: Option<String>,
}

impl EventRow {
    fn of(event: MailEvent) -> Self {
        let event = MailEvent { text: shown(&event.text).to_owned(), ..event };
        let (label, look) = match event.kind {
            "committed" => ("Committed", ""),
            "queued" => ("Queued", "info"),
            "attempt" => ("Attempt", "warn"),
            "started" => ("Being sent", "info"),
            "deferred" => ("Deferred", "warn"),
            "accepted" => ("Accepted", "good"),
            "failed" => ("Failed", "bad"),
            "held" => ("Held", "warn"),
            "inDoubt" => ("In doubt", "warn"),
            "bounced" => ("Bounced", "bad"),
            "complained" => ("Reported as spam", "bad"),
            "retried" => ("Retried", "info"),
            "removed" => ("Removed", ""),
            "nextTry" => ("Next try", "info"),
            _ => ("Note", ""),
        };
        Self { took: event.duration_ms.map(format::span), event, label, look }
    }
}

pub(super) async fn show(console: Console<may::ReadMails>, Id(id): Id<String>) -> Result<HttpResponse, Problem> {
    let history = timeline::read(&console.state, &id).await?.ok_or_else(Problem::not_found)?;
    let page = console.page("Mail").live();
    let mail = &history.email;
    let q = format!("id:{id:?}");
    let is_suppressed = history.suppressions.iter().any(|one| !one.is_held);
    let fitting = |action: &MailAction| {
        let is_done = *action == MailAction::Suppress && is_suppressed;
        console.may(action.permission()) && action.is_offered(mail) && !is_done
    };
    let actions = MailAction::ALL.into_iter().filter(fitting);
    let view = MailPage {
        page: &page,
        badge: badge(mail),
        reason: mail.failed_reason.as_deref().map(shown),
        events: history.events.into_iter().map(EventRow::of).collect(),
        suppressions: history.suppressions.into_iter().map(SuppressionView::from).collect(),
        actions: actions.map(|one| (page.path(&action_path(one, &q)), one.label())).collect(),
        body: history.has_job.then(|| page.path(&format!("/console/preview/sent?id={}", encoded(&mail.job_id)))),
        recipients: mail.to.iter().map(|to| (page.path(&search_path(&format!("to:{to:?}"))), to.as_str())).collect(),
        mail,
    };
    html(&page, &view)
}
