//! Language and templates of mails and pages, and the end of mails about results.

use std::fs;

use examhall_testkit::Process;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, on_both, problem};

const NOTHING: &Value = &Value::Null;

on_both!(results_end_with_one_click_and_stay_readable);

/// Posts with the languages of a browser.
async fn post(api: &Api, path: &str, languages: &str, body: &Value) -> Response {
    let request = api.request(Method::POST, path).header("accept-language", languages).json(body);
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn mails_are_in_the_language_of_their_account() {
    let api = Api::start().await;
    let seeded = api.seed_with(1, 2).await;
    for (n, languages, locale, subject) in [
        (1, "ja, de-AT;q=0.9, en;q=0.5", json!(null), "Bestätigen Sie Ihre E-Mail-Adresse"),
        (2, "de", json!("en-GB"), "Confirm your e-mail address"),
        (3, "ja, *", json!(null), "Confirm your e-mail address"),
        (4, "en", json!("de"), "Bestätigen Sie Ihre E-Mail-Adresse"),
        (5, "en", json!("zh-Hant"), "Confirm your e-mail address"),
    ] {
        let email = format!("ada{n}@example.com");
        let body = json!({"email": email, "name": "Ada", "password": "correct horse", "locale": locale});
        assert_eq!(post(&api, "/api/v1/auth/signup", languages, &body).await.status(), 202);
        let mail = api.mails_to(&email, 1).await.remove(0);
        assert_eq!((&mail["subject"], &mail["headers"]["Auto-Submitted"]), (&json!(subject), &json!("auto-generated")));
        assert_eq!(
            mail["html"].as_str().map(|html| html.contains("<html lang=\"de\">")),
            Some(subject.starts_with('B'))
        );
    }
    for bad in ["de_DE", "", "und", "german, please", "de-"] {
        let body = json!({"email": "eve@example.com", "name": "Eve", "password": "correct horse", "locale": bad});
        let refused = problem(api.post("/api/v1/auth/signup", &body).await, 422).await;
        assert_eq!(refused["errors"][0]["pointer"], "/locale", "{refused}");
    }

    let (email, token) = (&seeded["studentEmails"][0], api.log_in(&seeded["studentEmails"][0]).await);
    let me = api.expect(200, Method::GET, "/users/me", &token, NOTHING).await;
    assert_eq!((me.get("locale"), &me["resultMails"]), (None, &json!(true)));
    let me = api.expect(200, Method::PATCH, "/users/me", &token, &json!({"locale": "DE-ch"})).await;
    assert_eq!(me["locale"], "de-CH");
    post(&api, "/api/v1/auth/forgot", "en", &json!({"email": email})).await;
    let mail = api.mails_to(email.as_str().expect("text"), 1).await.remove(0);
    assert_eq!(mail["subject"], "Wählen Sie ein neues Passwort", "the account's own language");
    let me = api.expect(200, Method::PATCH, "/users/me", &token, &json!({"locale": null})).await;
    assert_eq!(me.get("locale"), None);
    let refused = api.send(Method::PATCH, "/users/me", &token, &json!({"locale": "de_DE"})).await;
    assert_eq!(problem(refused, 422).await["errors"][0]["pointer"], "/locale");

    let email = &seeded["studentEmails"][1];
    post(&api, "/api/v1/auth/forgot", "de", &json!({"email": email})).await;
    let mail = api.mails_to(email.as_str().expect("text"), 1).await.remove(0);
    assert_eq!(mail["subject"], "Wählen Sie ein neues Passwort", "that of the request");
    let page = api.request(Method::GET, "/reset?token=x").header("accept-language", "de-AT, en;q=0.5");
    let page = page.send().await.expect("an answer").text().await.expect("a page");
    assert!(page.contains("<html lang=\"de\">") && page.contains("Passwort ändern"), "{page}");
    api.stop().await;
}

async fn results_end_with_one_click_and_stay_readable(database: examhall_testkit::DatabaseKind) {
    let api = Api::start_on(database).await;
    let seeded = api.seed_with(1, 1).await;
    let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let email = seeded["studentEmails"][0].as_str().expect("text");
    let student = api.log_in(&seeded["studentEmails"][0]).await;
    let attempt = api.expect(201, Method::POST, &format!("{exam}/attempts"), &student, NOTHING).await;
    let submit = format!("/attempts/{}/submit", attempt["id"].as_str().expect("an id"));
    let result = api.expect(200, Method::POST, &submit, &student, NOTHING).await;
    let mail = api.mails_to(email, 1).await.remove(0);
    assert_eq!(mail["headers"]["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
    let link = mail["headers"]["List-Unsubscribe"].as_str().expect("a link").trim_matches(['<', '>']).to_owned();
    assert!(mail["html"].as_str().is_some_and(|html| html.contains(&link)), "{link}");
    let token = link.split("/unsubscribe?token=").nth(1).expect("our link");

    let wants_mails = async || {
        let me = api.expect(200, Method::GET, "/users/me", &student, NOTHING).await;
        me["resultMails"].as_bool().expect("a boolean")
    };
    let page = api.get(&format!("/unsubscribe?token={token}")).await;
    assert!(page.status() == 200 && page.headers()["referrer-policy"] == "no-referrer", "{page:?}");
    let page = page.text().await.expect("a page");
    assert!(page.contains("<button") && page.contains(&format!("action=\"unsubscribe?token={token}\"")), "{page}");
    assert!(wants_mails().await, "looking at it changes nothing");
    let forged = format!("{}A{}", &token[..10], &token[11..]);
    for bad in ["", "x", &token[1..], &forged, &"x".repeat(300)] {
        for method in [Method::GET, Method::POST] {
            let refused = api.request(method, &format!("/unsubscribe?token={bad}")).send().await.expect("an answer");
            assert_eq!(refused.status(), 400, "{bad}");
        }
    }
    assert!(wants_mails().await);
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let body = if kind.starts_with('a') { "List-Unsubscribe=One-Click" } else { "--x\r\n\r\n--x--\r\n" };
        let post = api.request(Method::POST, &format!("/unsubscribe?token={token}"));
        let done = post.header("content-type", kind).body(body).send().await.expect("an answer");
        assert_eq!((done.status().as_u16(), wants_mails().await), (200, false), "{kind}");
    }
    let author = api.log_in(&seeded["authorEmail"]).await;
    let publish = format!("{exam}/results/publish");
    let queued = api.expect(202, Method::POST, &publish, &author, NOTHING).await;
    assert_eq!(queued["queued"], 0, "nobody else has a result");
    let path = format!("/results/{}", result["id"].as_str().expect("an id"));
    api.expect(200, Method::GET, &path, &student, NOTHING).await;
    let me = api.expect(200, Method::PATCH, "/users/me", &student, &json!({"resultMails": true})).await;
    assert_eq!(me["resultMails"], true);
    api.stop().await;
}

#[tokio::test]
async fn an_invalid_folder_of_templates_ends_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("de/reset.html");
    fs::create_dir(folder.path().join("de")).expect("made");
    fs::write(&file, "Hallo\n{{ nmae }}").expect("written");
    let secret = "s".repeat(32);
    let run = async |arguments: &[&str], settings: &[(&str, &str)]| {
        let given = [("AUTH_SECRET", secret.as_str()), ("REDIS_URL", "redis://127.0.0.1:1"), ("LOG_FORMAT", "json")];
        let given = given.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut api = Process::spawn_binary("api", arguments, given.collect::<Vec<_>>());
        let code = api.exit(TIMEOUT).await.code();
        (code, api.output())
    };
    let templates = folder.path().display().to_string();
    let place = format!("{}:2: undefined value", file.display());
    let bad = [("MAIL_TEMPLATES", templates.as_str()), ("DATABASE_URL", "sqlite:///nowhere/x.db")];
    for (arguments, expected) in
        [(&["serve"][..], 78), (&["check"], 69), (&["preview-mail", "reset", "--locale", "de"], 78)]
    {
        let (code, output) = run(arguments, &bad).await;
        assert!(code == Some(expected) && output.contains(&place), "{arguments:?} {code:?}: {output}");
    }
    for (name, value) in [
        ("BRAND_COLOR", "bluish"),
        ("SUPPORT_EMAIL", "help"),
        ("MAIL_REPLY_TO", "Help <help>"),
        ("BRAND_LOGO_URL", "logo.png"),
        ("MAIL_TEMPLATES", "/nowhere"),
    ] {
        let (code, output) = run(&["serve"], &[(name, value)]).await;
        assert!(code == Some(78) && output.contains(name), "{name} {code:?}: {output}");
    }
    fs::write(&file, "<p>Hallo {{ name }}, {{ brand.name }}</p>").expect("written");
    let settings = [("MAIL_TEMPLATES", templates.as_str()), ("BRAND_NAME", "Gauß & Söhne")];
    let (code, output) = run(&["preview-mail", "reset", "--locale", "de-AT"], &settings).await;
    assert!(code == Some(0) && output.contains("<p>Hallo Ada Lovelace, Gauß &amp; Söhne</p>"), "{output}");
}
