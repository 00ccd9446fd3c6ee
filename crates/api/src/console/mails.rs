//! `/console/mails`: one box that searches every mail, and actions on exactly what it finds. `/console/held`: the same for mails
//! that wait for a decision.

use actix_web::HttpResponse;
use askama::Template;
use examhall_core::{MailQuery, WantedRecipient, with_commas};
use examhall_queue::State as JobState;
use serde::Deserialize;

use super::{
    guard::Console,
    page::{Page, html},
};
use crate::{
    access::may,
    http::{extract::Parameters, problem::Problem},
    operations::{
        actions::MailAction,
        search::{Bounds, Cursor, search},
    },
    routes::{email_status::EmailStatus, suppressions::SuppressionView},
    state::now,
};

/// Mails of a page.
const MAILS: usize = 50;
/// The query of the page of mails that are held or in doubt.
const DOUBTFUL: &str = "state:inDoubt";
/// Searches that are asked for most.
const EXAMPLES: [(&str, &str); 6] = [
    ("state:failed", "Failed"),
    ("state:delayed", "Delayed"),
    ("state:suppressed", "Suppressed"),
    ("state:bounced", "Bounced"),
    (DOUBTFUL, "Held or in doubt"),
    ("state:completed after:1h", "Sent in the last hour"),
];

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "mails.html")]
struct MailsPage<'a> {
    page: &'a Page,
    q: &'a str,
    /// What is wrong with the query.
    fault: Option<String>,
    is_held: bool,
    examples: Vec<(String, &'static str)>,
    mails: Vec<Row>,
    suppressed: Option<SuppressionView>,
    actions: Vec<(String, &'static str)>,
    looked_at: String,
    unread: u64,
    next: Option<String>,
}

/// A mail in the table.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) to: String,
    pub(super) subject: String,
    pub(super) class: &'static str,
    pub(super) badge: (&'static str, &'static str),
    pub(super) reason: String,
    pub(super) at: Option<examhall_core::Timestamp>,
}

/// The state of a mail in one word, and how it looks.
pub(super) fn badge(mail: &EmailStatus) -> (&'static str, &'static str) {
    let look = |word| match word {
        "completed" => "good",
        "held" | "inDoubt" | "delayed" | "suppressed" | "expired" | "withheld" => "warn",
        "failed" | "bounced" | "complained" => "bad",
        "active" | "waiting" | "prioritized" | "outbox" => "info",
        _ => "",
    };
    let doubt = mail.in_doubt.then_some("inDoubt");
    let word = mail.outcome.or(doubt).unwrap_or(mail.state.as_str());
    (if word == "inDoubt" { "in doubt" } else { word }, look(word))
}

impl Row {
    fn of(page: &Page, mail: EmailStatus) -> Self {
        let is_ended = matches!(mail.state, JobState::Completed | JobState::Failed);
        Self {
            href: page.path(&mail_path(&mail.job_id)),
            badge: badge(&mail),
            to: match mail.to.as_slice() {
                [] => String::new(),
                [one] => one.clone(),
                [one, others @ ..] => format!("{one} and {} more", others.len()),
            },
            subject: mail.subject.unwrap_or_default(),
            class: mail.class.unwrap_or(""),
            reason: mail.failed_reason.as_deref().map_or_else(String::new, |reason| shown(reason).to_owned()),
            at: mail.finished_at.filter(|_| is_ended).or(mail.created_at),
        }
    }
}

/// A reason as pages show it: they have buttons for what it says of commands.
pub(super) fn shown(reason: &str) -> &str {
    reason.split_once("; `mailer queue").map_or(reason, |(reason, _)| reason)
}

/// Path of the page of one mail.
pub(super) fn mail_path(id: &str) -> String {
    format!("/console/mails/{}", encoded(id))
}

/// Path of the page of a search.
pub(super) fn search_path(q: &str) -> String {
    format!("/console/mails?q={}", encoded(q))
}

/// Path of the page that shows what a query finds.
pub(super) fn list_path(q: &str) -> String {
    if q == DOUBTFUL { "/console/held".to_owned() } else { search_path(q) }
}

/// Path of the page that asks whether to do something.
pub(super) fn action_path(action: MailAction, q: &str) -> String {
    format!("/console/mails/actions?action={}&q={}", action.as_str(), encoded(q))
}

pub(super) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

pub(super) async fn show(
    console: Console<may::ReadMails>,
    Parameters(asked): Parameters<Asked>,
) -> Result<HttpResponse, Problem> {
    let page = console.page("Mails").live();
    render(&console, page, &asked.q, asked.cursor.as_deref(), false).await
}

pub(super) async fn held(
    console: Console<may::ReadMails>,
    Parameters(asked): Parameters<Asked>,
) -> Result<HttpResponse, Problem> {
    let page = console.page("Held").live();
    render(&console, page, DOUBTFUL, asked.cursor.as_deref(), true).await
}

async fn render(
    console: &Console<may::ReadMails>,
    page: Page,
    q: &str,
    cursor: Option<&str>,
    is_held: bool,
) -> Result<HttpResponse, Problem> {
    let examples = EXAMPLES.iter().map(|(q, name)| (page.path(&search_path(q)), *name)).collect();
    let mut shown = MailsPage {
        page: &page,
        q,
        fault: None,
        is_held,
        examples,
        mails: Vec::new(),
        suppressed: None,
        actions: Vec::new(),
        looked_at: String::new(),
        unread: 0,
        next: None,
    };
    match MailQuery::parse(q, now()) {
        Err(error) => shown.fault = Some(error.to_string()),
        Ok(query) => {
            let state = &console.state;
            let cursor = cursor.map(Cursor::parse).transpose()?;
            let found = search(state, &query, cursor, Bounds::page(MAILS)).await?;
            if let Some(WantedRecipient::Address(address)) = &query.to {
                shown.suppressed = state.suppressions.get(address).await?.map(SuppressionView::from);
            }
            let fitting = |action: &MailAction| {
                !query.is_empty()
                    && console.may(action.permission())
                    && found.items.iter().any(|mail| action.is_offered(mail))
            };
            let actions = MailAction::ALL.into_iter().filter(fitting);
            shown.actions = actions.map(|one| (page.path(&action_path(one, q)), one.label())).collect();
            shown.looked_at = with_commas(found.looked_at);
            shown.unread = found.unread;
            let base = if is_held { "/console/held?".to_owned() } else { format!("{}&", search_path(q)) };
            shown.next = found.next.map(|next| page.path(&format!("{base}cursor={}", next.to_text())));
            shown.mails = found.items.into_iter().map(|mail| Row::of(&page, mail)).collect();
        }
    }
    html(&page, &shown)
}
