//! The console's frame: login, sessions, who may see what, forgery, the stream of events, the audit trail.

use std::{collections::BTreeSet, path::Path, time::Duration};

use examhall_testkit::World;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde_json::{Value, json};

use crate::{Api, TIMEOUT};

/// A browser: it keeps the session's cookie and says which site a form is of.
pub(crate) struct Browser<'a> {
    api: &'a Api,
    client: Client,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn new(api: &'a Api) -> Self {
        let client = Client::builder().redirect(Policy::none()).build().expect("a client");
        Self { api, client, cookie: None }
    }

    pub(crate) async fn logged_in(api: &'a Api, role: &str) -> Self {
        let (email, password) = api.create_user(role).await;
        let mut browser = Self::new(api);
        let answer = browser.log_in(&email, &password).await;
        assert_eq!((answer.status(), location(&answer)), (StatusCode::SEE_OTHER, "/console"), "{role}");
        browser
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.api.base));
        match &self.cookie {
            Some(cookie) => request.header("cookie", format!("__Host-console={cookie}")),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("an answer")
    }

    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let body: String = url_encoded(form);
        let request = self.request(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        request.header("sec-fetch-site", "same-origin").body(body)
    }

    async fn log_in(&mut self, email: &str, password: &str) -> Response {
        let form = [("email", email), ("password", password), ("next", "")];
        let answer = self.post("/console/login", &form).send().await.expect("an answer");
        self.cookie = cookie_of(&answer);
        answer
    }
}

fn url_encoded(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

fn cookie_of(answer: &Response) -> Option<String> {
    let cookie = answer.headers().get("set-cookie")?.to_str().expect("text");
    let value = cookie.strip_prefix("__Host-console=")?.split(';').next().expect("a value");
    assert!(cookie.ends_with("; Secure; HttpOnly; SameSite=Strict") && cookie.contains("; Path=/;"), "{cookie}");
    Some(value.to_owned())
}

pub(crate) fn location(answer: &Response) -> &str {
    answer.headers().get("location").map_or("", |value| value.to_str().expect("text"))
}

pub(crate) fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

/// Pages that alerts link to.
fn alert_links() -> BTreeSet<String> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/examhall.rules.yml");
    let rules = std::fs::read_to_string(rules).expect("the rules");
    let links =
        rules.lines().filter_map(|line| line.trim().strip_prefix("console_url: '{{ $externalLabels.public_url }}"));
    let links: BTreeSet<_> = links.map(|link| link.trim_end_matches('\'').to_owned()).collect();
    assert!(links.contains("/console/held") && links.contains("/console/suppressions"), "{links:?}");
    links
}

#[tokio::test]
async fn console_is_seen_by_those_who_run_the_platform_only() {
    let api = Api::start().await;
    let nobody = Browser::new(&api).get("/console/audit?limit=7").await;
    let login = "/console/login?next=%2Fconsole%2Faudit%3Flimit%3D7";
    assert_eq!((nobody.status(), location(&nobody)), (StatusCode::SEE_OTHER, login));
    // Each role: status of the overview and of the audit.
    for (role, expected) in [("viewer", [200, 403]), ("operator", [200, 403]), ("admin", [200, 200])] {
        let browser = Browser::logged_in(&api, role).await;
        for (path, expected) in ["/console", "/console/audit"].into_iter().zip(expected) {
            let answer = browser.get(path).await;
            assert_eq!(answer.status().as_u16(), expected, "{role} {path}");
            assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
            let policy = header(&answer, "content-security-policy");
            assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
            assert_eq!((header(&answer, "x-frame-options"), header(&answer, "cache-control")), ("DENY", "no-store"));
            let body = answer.text().await.expect("a body");
            assert!(body.starts_with("<!doctype html>") && !body.contains("style=\"") && !body.contains("<style"));
        }
        assert_eq!(browser.get("/console/nowhere").await.status(), StatusCode::NOT_FOUND);
        for path in alert_links() {
            assert_eq!(browser.get(&path).await.status(), StatusCode::OK, "{role} {path}");
        }
    }
    for role in ["student", "author"] {
        let (email, password) = api.create_user(role).await;
        let mut browser = Browser::new(&api);
        assert_eq!(browser.log_in(&email, &password).await.status(), StatusCode::FORBIDDEN, "{role}");
        assert_eq!(browser.cookie, None);
    }
    let mut browser = Browser::new(&api);
    let wrong = browser.log_in("root@example.com", "wrong").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert!(wrong.text().await.expect("a body").contains("no account has this address and this password"));
    api.stop().await;
}

#[tokio::test]
async fn a_session_ends_with_logout_and_with_the_accounts_access() {
    let api = Api::start().await;
    let is_in = async |browser: &Browser<'_>| browser.get("/console").await.status() == StatusCode::OK;
    let (email, password) = api.create_user("operator").await;
    let (mut first, mut second) = (Browser::new(&api), Browser::new(&api));
    for browser in [&mut first, &mut second] {
        browser.log_in(&email, &password).await;
        assert!(is_in(browser).await);
    }
    let out = first.post("/console/logout", &[]).send().await.expect("an answer");
    assert_eq!((out.status(), location(&out)), (StatusCode::SEE_OTHER, "/console/login"));
    assert!(!is_in(&first).await && is_in(&second).await);
    // A page that refreshes itself is led to the login.
    let refresh = first.request(Method::GET, "/console").header("hx-request", "true").send().await.expect("an answer");
    assert_eq!((refresh.status(), header(&refresh, "hx-redirect")), (StatusCode::OK, "/console/login"));
    api.world.database.sql("UPDATE users SET role = 'viewer' WHERE role = 'operator'").await;
    assert!(!is_in(&second).await, "demoted");
    second.log_in(&email, &password).await;
    assert!(is_in(&second).await);
    api.world.database.sql("UPDATE users SET verified_at = NULL").await;
    assert!(!is_in(&second).await, "locked");
    api.stop().await;
}

#[tokio::test]
async fn writes_that_no_page_of_ours_sent_are_refused() {
    let api = Api::start().await;
    let browser = Browser::logged_in(&api, "viewer").await;
    let cookie = format!("__Host-console={}", browser.cookie.as_deref().expect("a cookie"));
    let own = api.base.clone();
    for (site, origin, expected) in [
        (Some("cross-site"), Some("https://evil.example"), 403),
        (Some("same-site"), None, 403),
        (Some("none"), None, 403),
        (None, Some("https://evil.example"), 403),
        (None, Some("null"), 403),
        (None, None, 403),
        (None, Some(own.as_str()), 303),
    ] {
        let mut request = browser.client.post(format!("{own}/console/logout")).header("cookie", &cookie);
        for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let status = request.send().await.expect("an answer").status().as_u16();
        assert_eq!(status, expected, "{site:?} {origin:?}");
    }
    assert_eq!(browser.get("/console").await.status(), StatusCode::SEE_OTHER, "the last one logged out");
    api.stop().await;
}

#[tokio::test]
async fn what_operators_do_is_in_the_audit_trail() {
    let api = Api::start().await;
    let (admin, operator) = (api.admin().await, api.log_in_as("operator").await);
    let none = &Value::Null;
    api.expect(204, Method::POST, "/queue/pause", &operator, none).await;
    let address = json!({"address": "Bob@Example.com", "reason": "asked us to"});
    api.expect(201, Method::POST, "/suppressions", &operator, &address).await;
    let audit = api.expect(200, Method::GET, "/audit?limit=1", &admin, none).await;
    let last = &audit["items"][0];
    assert_eq!((&last["actor"], &last["action"]), (&json!("operator@example.com"), &json!("suppress")));
    assert_eq!((&last["filter"], &last["reason"]), (&json!("to:bob@example.com"), &json!("asked us to")));
    assert_eq!((&last["matched"], &last["affected"]), (&json!(1), &json!(1)));
    let next = format!("/audit?cursor={}", audit["nextCursor"].as_str().expect("a cursor"));
    let audit = api.expect(200, Method::GET, &next, &admin, none).await;
    assert_eq!(audit["items"][0]["action"], "pause");
    assert_eq!((audit["items"].as_array().expect("items").len(), &audit["nextCursor"]), (1, none));
    api.stop().await;
}

/// Reads a stream of events for a while.
async fn read_until(stream: &mut Response, what: &str) -> String {
    let mut read = String::new();
    while !read.contains(what) {
        let chunk = tokio::time::timeout(TIMEOUT, stream.chunk()).await.expect("in time").expect("a chunk");
        let Some(chunk) = chunk else { break };
        read.push_str(&String::from_utf8_lossy(&chunk));
    }
    read
}

#[tokio::test]
async fn pages_are_notified_of_changes_until_their_session_ends() {
    let api = Api::start().await;
    let (viewer, admin) = (Browser::logged_in(&api, "viewer").await, api.admin().await);
    let mut stream = viewer.get("/console/live").await;
    assert_eq!((stream.status(), header(&stream, "content-type")), (StatusCode::OK, "text/event-stream"));
    read_until(&mut stream, "live").await;
    let mail = json!({"to": "ada@example.com", "subject": "Hello", "html": "<p>Hello</p>"});
    api.expect(202, Method::POST, "/emails", &admin, &mail).await;
    assert!(read_until(&mut stream, "event: update").await.contains("event: update"));
    api.world.database.sql("UPDATE users SET role = 'student' WHERE role = 'viewer'").await;
    let ended = async { while stream.chunk().await.expect("a chunk").is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the stream ends with the session");
    let nobody = Browser::new(&api).get("/console/live").await;
    assert_eq!(nobody.status(), StatusCode::SEE_OTHER);
    // One that is open does not hold the process up when it stops.
    let admin = Browser::logged_in(&api, "operator").await;
    let mut stream = admin.get("/console/live").await;
    read_until(&mut stream, "live").await;
    let stopped = tokio::time::timeout(Duration::from_secs(15), api.stop()).await;
    stopped.expect("stopped before the grace is over");
}

#[tokio::test]
async fn a_login_link_of_development_works_once() {
    let api = Api::start().await;
    let mut made = examhall_testkit::Process::spawn_binary("api", &["console-link"], api.world.settings());
    assert!(made.exit(TIMEOUT).await.success(), "{}", made.output());
    let output = made.output();
    let token = output.lines().find_map(|line| line.split_once("/console/login?token=")).expect("a link").1;
    let link = format!("/console/login?token={token}");
    let mut browser = Browser::new(&api);
    let answer = browser.get(&link).await;
    assert_eq!((answer.status(), location(&answer)), (StatusCode::SEE_OTHER, "/console"));
    browser.cookie = cookie_of(&answer);
    assert_eq!(browser.get("/console/audit").await.status(), StatusCode::OK, "an administrator");
    assert_eq!(Browser::new(&api).get(&link).await.status(), StatusCode::BAD_REQUEST, "a second time");
    api.stop().await;
}

#[tokio::test]
async fn a_console_that_is_off_is_not_there() {
    let mut world = World::start().await;
    world.set("CONSOLE", "off");
    let api = Api::start_in(world).await;
    for path in ["/console", "/console/login", "/console/live"] {
        assert_eq!(api.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    api.stop().await;
}

#[tokio::test]
async fn assets_are_kept_forever_at_addresses_of_their_content() {
    let api = Api::start().await;
    let login = api.get("/console/login").await.text().await.expect("a body");
    let style = login.split("href=\"/assets/style.").nth(1).expect("a stylesheet").split('"').next().expect("its end");
    let answer = api.get(&format!("/assets/style.{style}")).await;
    assert_eq!(header(&answer, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(header(&answer, "content-type"), "text/css; charset=utf-8");
    assert!(answer.text().await.expect("a body").contains("--accent:#1f5fbf"));
    let old = api.get("/assets/style.0000000000000000.css").await;
    assert_eq!((old.status(), header(&old, "cache-control")), (StatusCode::OK, "no-store"));
    assert_eq!(api.get("/assets/nothing.js").await.status(), StatusCode::NOT_FOUND);
    api.stop().await;
}
