//! The pages that mails link to.

use reqwest::{Method, Response};
use serde_json::json;

use crate::{Api, auth::log_in_tokens};

/// Sends a form, as a browser does.
pub(crate) async fn send(api: &Api, page: &str, fields: &[(&str, &str)]) -> Response {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = api.request(Method::POST, page).body(form);
    request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer")
}

/// The answer is one for people, and this.
async fn is_page(answer: Response) -> String {
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert!(answer.headers().contains_key("x-request-id"));
    answer.text().await.expect("a page")
}

/// The page has no style, script or handler in itself, and loads our assets only.
fn loads_nothing_foreign(page: &str) {
    for inline in ["<script>", "<style", " style=", " onclick=", "http://", "https://"] {
        assert!(!page.contains(inline), "{inline}: {page}");
    }
    let loads = ["<link rel=\"stylesheet\" href=\"", "<script src=\"", "<img class=\"mark\" src=\""];
    for (load, at) in loads.iter().flat_map(|load| page.match_indices(load).map(move |(at, _)| (load, at))) {
        let address = page[at + load.len()..].trim_start_matches("../");
        assert!(address.starts_with("assets/"), "{address}");
    }
}

/// Asks for a page as a browser does.
async fn browse(api: &Api, path: &str, language: &str) -> Response {
    let request = api.request(Method::GET, path).header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    request.header("accept-language", language).send().await.expect("an answer")
}

#[tokio::test]
async fn the_front_page_says_what_this_is() {
    let api = Api::start().await;
    for (language, words) in [("en", "API documentation"), ("de-CH, en", "API-Dokumentation")] {
        let page = browse(&api, "/", language).await;
        assert_eq!(page.status(), 200);
        let page = is_page(page).await;
        assert!(page.contains(words) && page.contains("href=\"docs\"") && page.contains("Examhall"), "{page}");
        loads_nothing_foreign(&page);
        let style = page.split('"').find(|part| part.starts_with("assets/style.")).expect("a style");
        let style = api.get(&format!("/{style}")).await;
        assert_eq!(style.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert!(style.text().await.expect("text").starts_with(":root{--accent:#1f5fbf;"), "the brand comes first");
    }
    let other = api.get("/assets/pages.0123456789abcdef.js").await;
    assert!(other.status() == 200 && other.headers()["cache-control"] == "no-store", "of another release");
    for (path, root) in [("/trouble", ""), ("/a/b", "../"), ("/assets/nothing.css", "../"), ("/verify/x", "../")] {
        crate::problem(api.get(path).await, 404).await;
        let page = browse(&api, path, "de").await;
        assert_eq!(page.status(), 404, "{path}");
        if path != "/assets/nothing.css" {
            let page = is_page(page).await;
            assert!(page.contains("gibt es nicht") && page.contains(&format!("\"{root}assets/style.")), "{page}");
        }
    }
    crate::problem(browse(&api, "/api/v1/nothing", "en").await, 404).await;
    api.stop().await;
}

#[tokio::test]
async fn the_link_in_the_mail_is_a_page_with_a_button_that_works_once() {
    let api = Api::start().await;
    api.sign_up("ada@example.com").await;
    let token = Api::token_in(&api.only_mail().await);
    for _ in 0..2 {
        let page = api.get(&format!("/verify?token={token}")).await.text().await.expect("a page");
        assert!(page.contains("<button") && page.contains(&token), "looking at it does not use it up: {page}");
    }
    let press = async || send(&api, "/verify", &[("token", &token)]).await;
    let confirmed = press().await;
    assert_eq!(confirmed.status(), 200);
    assert!(confirmed.text().await.expect("a page").contains("is confirmed"));
    assert_eq!(press().await.status(), 400);
    api.stop().await;
}

#[tokio::test]
async fn the_reset_link_takes_a_new_password_once() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let email = seeded["studentEmails"][0].as_str().expect("text");
    api.post("/api/v1/auth/forgot", &json!({ "email": email })).await;
    let mail = api.only_mail().await;
    let text = mail["text"].as_str().expect("a text");
    let token = text.split("/reset?token=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a link");
    for _ in 0..2 {
        let page = api.get(&format!("/reset?token={token}")).await;
        assert_eq!(page.status(), 200);
        let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"), "{policy}");
        assert_eq!(page.headers()["referrer-policy"], "no-referrer", "the address holds the token");
        let page = page.text().await.expect("a page");
        assert!(page.contains("<label for=\"password\">") && page.contains(token), "{page}");
        loads_nothing_foreign(&page);
    }
    let send = async |password: &str| send(&api, "/reset", &[("token", token), ("password", password)]).await;
    let common = send("password1").await;
    assert_eq!(common.status(), 422);
    let common = common.text().await.expect("a page");
    assert!(common.contains("most common") && common.contains(token), "says why, and asks again: {common}");
    let changed = send("battery staple").await;
    assert_eq!(changed.status(), 200);
    assert!(changed.text().await.expect("a page").contains("is changed"));
    assert_eq!(send("another staple").await.status(), 400, "it works once");
    assert!(log_in_tokens(&api, email, "battery staple").await["accessToken"].is_string());
    api.stop().await;
}

#[tokio::test]
async fn the_pages_show_nothing_that_a_link_brings_in() {
    let api = Api::start().await;
    for page in ["/verify", "/reset"] {
        let hostile = api.get(&format!("{page}?token=%22%3E%3Cscript%3E")).await.text().await.expect("a page");
        assert!(!hostile.contains("<script>"), "{hostile}");
        for query in [String::new(), format!("?token={}", "x".repeat(201)), "?token=a&token=b".to_owned()] {
            let refused = api.get(&format!("{page}{query}")).await;
            assert_eq!(refused.status(), 400, "{page}{query}");
            assert!(!is_page(refused).await.contains("<form"), "{page}{query}");
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said_on_a_page_too() {
    let mut api = Api::start().await;
    for page in ["/verify", "/reset"] {
        let long = "x".repeat(20_000);
        for (fields, status) in [(vec![("token", "a"), ("token", "b")], 400), (vec![("token", long.as_str())], 413)] {
            let refused = send(&api, page, &fields).await;
            let found = refused.status();
            let text = is_page(refused).await;
            assert!(found == status && text.contains("not what the form sends"), "{page}: {found} {text}");
        }
        let json = api.request(Method::POST, page).json(&json!({})).send().await.expect("an answer");
        assert_eq!(json.status(), 415, "{page}");
        is_page(json).await;
    }
    api.world.redis.kill().await; // the limits are lower then
    for page in ["/verify", "/reset"] {
        let fields = [("token", "x"), ("password", "battery staple")];
        let refused = examhall_testkit::eventually("too often", crate::TIMEOUT, async || {
            let answer = send(&api, page, &fields[..if page == "/verify" { 1 } else { 2 }]).await;
            (answer.status() == 429).then_some(answer)
        })
        .await;
        let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
        let text = is_page(refused).await;
        assert!(text.contains("too many requests") && text.contains("link in your mail still works"), "{text}");
        // Nothing of the form is read then: neither its kind nor its length is looked at.
        let long = "x".repeat(20_000);
        assert_eq!(send(&api, page, &[("token", &long)]).await.status(), 429, "{page}");
        let json = api.request(Method::POST, page).json(&json!({})).send().await.expect("an answer");
        assert_eq!(json.status(), 429, "{page}");
    }
    api.stop().await;
}
