//! A `PUBLIC_URL` with a path, behind a proxy that removes the path.

use examhall_testkit::{DatabaseKind, RedisOptions, World};
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use crate::{Api, on_both};

on_both!(everything_works_under_a_public_url_with_a_path);

/// What a browser does with a page that it has read from `at`: the address that its form is sent to.
fn form_target(page: &str, at: &Url) -> Url {
    let form = page.split("<form").nth(1).and_then(|rest| rest.split('>').next()).expect("a form");
    match form.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()) {
        Some(action) => at.join(action).expect("an address"),
        None => at.clone(),
    }
}

/// The first link of a mail, in both its parts.
fn link(mail: &Value) -> Url {
    let text = mail["text"].as_str().expect("a text");
    let link = text.split_whitespace().find(|word| word.starts_with("https://")).expect("a link");
    let html = mail["html"].as_str().expect("HTML").replace("&#38;", "&").replace("&amp;", "&");
    let is_button = link.contains("?token=");
    assert!(html.contains(&if is_button { format!("href=\"{link}\"") } else { link.to_owned() }), "{link}: {html}");
    link.parse().expect("an address")
}

/// Follows a link, as the proxy passes it on, and sends its form with `fields`; gives both statuses.
async fn use_form(api: &Api, link: &Url, fields: &[(&str, &str)]) -> (u16, u16) {
    let inner = |url: &Url| {
        let path = url.path().strip_prefix("/exams").expect("under the public URL").to_owned();
        assert!(!path.contains("//"), "{url}");
        url.query().map_or(path.clone(), |query| format!("{path}?{query}"))
    };
    let shown = api.get(&inner(link)).await;
    let status = shown.status().as_u16();
    let target = form_target(&shown.text().await.expect("a page"), link);
    assert_eq!(target.path(), link.path(), "the form is sent to its own page");
    let token = link.query_pairs().find(|(name, _)| name == "token").expect("a token").1.into_owned();
    let fields = fields.iter().copied().chain([("token", token.as_str())]);
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let sent = api.request(Method::POST, &inner(&target)).body(form);
    let sent = sent.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
    assert!(!sent.status().is_redirection() && !sent.headers().contains_key("location"));
    (status, sent.status().as_u16())
}

async fn everything_works_under_a_public_url_with_a_path(database: DatabaseKind) {
    for public_url in ["https://h.example/exams", "https://h.example/exams/"] {
        let mut world = World::start_with(database, RedisOptions::default()).await;
        world.set("PUBLIC_URL", public_url);
        let api = Api::start_in(world).await;
        mailed_links_lead_to_pages_that_work(&api).await;
        the_documentation_names_the_path(&api).await;
        every_location_has_the_path(&api).await;
        api.stop().await;
    }
}

async fn mailed_links_lead_to_pages_that_work(api: &Api) {
    api.sign_up("ada@example.com").await;
    let verification = link(&api.mails_to("ada@example.com", 1).await[0]);
    assert_eq!(verification.path(), "/exams/verify");
    assert_eq!(use_form(api, &verification, &[]).await, (200, 200));

    api.post("/api/v1/auth/forgot", &json!({"email": "ada@example.com"})).await;
    let reset = link(&api.mails_to("ada@example.com", 2).await[1]);
    assert_eq!(reset.path(), "/exams/reset");
    assert_eq!(use_form(api, &reset, &[("password", "battery staple")]).await, (200, 200));
    assert_eq!(link(&api.mails_to("ada@example.com", 3).await[2]).path().trim_end_matches('/'), "/exams");
    api.sign_up("ada@example.com").await;
    assert_eq!(link(&api.mails_to("ada@example.com", 4).await[3]).path().trim_end_matches('/'), "/exams");
}

async fn the_documentation_names_the_path(api: &Api) {
    let docs: Url = "https://h.example/exams/docs".parse().expect("an address");
    let page = api.get("/docs").await.text().await.expect("a page");
    let parts = page.split(['"']).collect::<Vec<_>>();
    let linked = parts.windows(2).filter(|two| two[0].ends_with("href=") || two[0].ends_with("src="));
    let linked = linked.map(|two| docs.join(two[1]).expect("an address")).filter(|url| url.scheme() == "https");
    let linked: Vec<_> = linked.map(|url| url.path().to_owned()).collect();
    assert!(linked.contains(&"/exams/docs/init.js".to_owned()), "{linked:?}");
    for path in &linked {
        let inner = path.strip_prefix("/exams").expect("under the public URL");
        assert_eq!(api.get(inner).await.status(), 200, "{path}");
    }
    let script = api.get("/docs/init.js").await.text().await.expect("a script");
    assert!(script.contains("url: \"openapi.json\""), "relative to the page: {script}");
    let document: Value = api.get("/openapi.json").await.json().await.expect("JSON");
    assert_eq!(document["servers"], json!([{"url": "/exams"}]));
}

async fn every_location_has_the_path(api: &Api) {
    let seeded = api.seed().await;
    let (author, email) = (api.log_in(&seeded["authorEmail"]).await, &seeded["studentEmails"][0]);
    let student = api.log_in(email).await;
    let post = async |path: &str, token: &str, body: &Value| {
        let request = api.request(Method::POST, &format!("/api/v1{path}")).bearer_auth(token).json(body);
        let request = if token == author { request.header("idempotency-key", path) } else { request };
        let answer = request.send().await.expect("an answer");
        let location = answer.headers().get("location").map(|value| value.to_str().expect("text").to_owned());
        (answer.status().as_u16(), location.unwrap_or_default())
    };
    let draft = json!({"title": "A", "description": "", "durationMinutes": 60});
    let (_, exam) = post("/exams", &author, &draft).await;
    assert!(exam.starts_with("/exams/api/v1/exams/"), "{exam}");
    assert_eq!(post("/exams", &author, &draft).await, (201, exam.clone()), "sent again");
    let own = exam.strip_prefix("/exams/api/v1").expect("under the API").to_owned();
    let question = json!({"type": "numeric", "text": "?", "answer": 4});
    let (_, added) = post(&format!("{own}/questions"), &author, &question).await;
    assert!(added.starts_with("/exams/api/v1/questions/"), "{added}");
    let attempts = format!("/exams/{}/attempts", seeded["examId"].as_str().expect("an id"));
    let (_, started) = post(&attempts, &student, &json!({})).await;
    assert!(started.starts_with("/exams/api/v1/attempts/"), "{started}");
    assert_eq!(post(&attempts, &student, &json!({})).await, (409, started.clone()));
    let submit = format!("{}/submit", started.strip_prefix("/exams/api/v1").expect("under the API"));
    assert_eq!(post(&submit, &student, &json!({})).await.0, 200);
    let publish = format!("/exams/{}/results/publish", seeded["examId"].as_str().expect("an id"));
    assert_eq!(post(&publish, &author, &json!({})).await.0, 202);
    for mail in api.mails_to(email.as_str().expect("text"), 2).await {
        assert_eq!(link(&mail).path().trim_end_matches('/'), "/exams", "the result");
    }
}
