//! `/console/preview`: what mails look like: each with made-up contents, and one that was sent, without its secrets.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{CONTENT_SECURITY_POLICY, X_FRAME_OPTIONS},
    },
};
use askama::Template;
use examhall_core::{EmailJob, Locale, Recipients, with_commas};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::{
    guard::Console,
    mails::mail_path,
    page::{Page, html},
};
use crate::{
    access::{Permission, may},
    http::{extract::Parameters, problem::Problem},
    mail::{masked_html, masked_text},
    state::State,
    templates::MAILS,
};

/// A mail in a frame can do nothing and load nothing but the logo, and that only in a preview.
const FRAME_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; form-action 'none'; base-uri 'none'; \
                            frame-ancestors 'self'";

/// Largest data of a mail that is shown, in bytes.
const LARGEST: u64 = 1024 * 1024;

#[derive(Template)]
#[template(path = "preview.html")]
struct Preview<'a> {
    page: &'a Page,
    about: &'static str,
    choice: Option<Choice<'a>>,
    headers: Vec<(String, String)>,
    /// Path of the HTML.
    frame: Option<String>,
    text: Option<String>,
    /// Path of the page of the mail that this is the body of.
    mail: Option<String>,
}

/// Which mail is shown, and which there are.
struct Choice<'a> {
    mails: &'static [&'static str],
    mail: &'a str,
    languages: Vec<&'a str>,
    language: &'a str,
}

/// A mail by its name, in a language.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default = "first")]
    mail: String,
    #[serde(default = "english")]
    language: String,
}

/// A mail in the queue.
#[derive(Deserialize)]
pub(super) struct Sent {
    id: String,
}

fn first() -> String {
    MAILS.first().copied().unwrap_or_default().to_owned()
}

fn english() -> String {
    "en".to_owned()
}

pub(super) async fn show(
    console: Console<may::PreviewMails>,
    Parameters(Wanted { mail, language }): Parameters<Wanted>,
) -> Result<HttpResponse, Problem> {
    let state = &console.state;
    let job = sample(state, &mail, &language)?;
    let page = console.page("Preview");
    let preview = Preview {
        page: &page,
        about: "With made-up contents: its links open nothing.",
        headers: headers(&job),
        frame: Some(format!("/console/preview/html?mail={mail}&language={language}")),
        text: job.text,
        mail: None,
        choice: Some(Choice {
            mails: &MAILS,
            mail: &mail,
            languages: state.templates.languages(),
            language: &language,
        }),
    };
    framing(&console, html(&page, &preview)?)
}

pub(super) async fn show_html(
    console: Console<may::PreviewMails>,
    Parameters(Wanted { mail, language }): Parameters<Wanted>,
) -> Result<HttpResponse, Problem> {
    let html = sample(&console.state, &mail, &language)?.html;
    let logo = console.state.site.logo_url.as_deref().and_then(|url| url.parse::<Url>().ok());
    let logo = logo.map(|url| format!("; img-src {}", url.origin().ascii_serialization())).unwrap_or_default();
    Ok(frame(format!("{FRAME_POLICY}{logo}"), html))
}

/// One mail as it is in the queue, without its secrets.
pub(super) async fn show_sent(
    console: Console<may::ReadMails>,
    Parameters(Sent { id }): Parameters<Sent>,
) -> Result<HttpResponse, Problem> {
    let job = sent(&console.state, &id).await?;
    let page = console.page("Body of a mail");
    let has_html = !job.html.is_empty();
    let preview = Preview {
        page: &page,
        about: "Tokens, codes and what links carry are masked. Images are not loaded, since they may report to others.",
        choice: None,
        headers: headers(&job).into_iter().map(|(name, value)| (name, masked_text(&value))).collect(),
        frame: has_html.then(|| {
            form_urlencoded::Serializer::new("/console/preview/sent/html?".to_owned()).append_pair("id", &id).finish()
        }),
        text: job.text.filter(|text| !text.is_empty()).map(|text| masked_text(&text)),
        mail: Some(page.path(&mail_path(&id))),
    };
    framing(&console, html(&page, &preview)?)
}

pub(super) async fn show_sent_html(
    console: Console<may::ReadMails>,
    Parameters(Sent { id }): Parameters<Sent>,
) -> Result<HttpResponse, Problem> {
    let job = sent(&console.state, &id).await?;
    Ok(frame(FRAME_POLICY.to_owned(), masked_html(&job.html)))
}

fn sample(state: &State, mail: &str, language: &str) -> Result<EmailJob, Problem> {
    let locale = Locale::parse(language).ok().filter(|_| MAILS.contains(&mail)).ok_or_else(Problem::not_found)?;
    state.previews.mail(mail, Some(&locale)).map_err(|error| Problem::internal(&error))
}

/// Reads a mail of the queue, unless it is so large that reading and masking it would hold others up.
async fn sent(state: &State, id: &str) -> Result<EmailJob, Problem> {
    let size = state.queue.summaries(&[id.to_owned()], &[]).await?.pop().ok_or_else(Problem::not_found)?.data_bytes;
    if size > LARGEST {
        let size = with_commas(size.div_ceil(1024 * 1024));
        return Err(Problem::new(StatusCode::CONFLICT, format!("the mail has {size} MB: bodies are shown up to 1 MB")));
    }
    let job = state.queue.get(id).await?.ok_or_else(Problem::not_found)?;
    serde_json::from_value(job.data).map_err(|_| Problem::conflict("the data of this job are not those of a mail"))
}

/// What a mail program shows above the text, and what it obeys.
fn headers(job: &EmailJob) -> Vec<(String, String)> {
    let list = |name: &str, list: &Recipients| (name.to_owned(), list.0.join(", "));
    let lists = [
        list("From", &job.from),
        list("To", &job.to),
        list("Cc", &job.cc),
        list("Reply-To", &job.reply_to),
        ("Subject".to_owned(), job.subject.clone()),
    ];
    lists.into_iter().filter(|(_, value)| !value.is_empty()).chain(job.headers.0.iter().cloned()).collect()
}

/// A page that shows one of our frames.
fn framing<P: Permission>(console: &Console<P>, mut page: HttpResponse) -> Result<HttpResponse, Problem> {
    let policy = console.state.site.policy_with_frames().parse().map_err(|error| Problem::internal(&error));
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy?);
    Ok(page)
}

fn frame(policy: String, html: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((X_FRAME_OPTIONS, "SAMEORIGIN"))
        .body(html)
}
