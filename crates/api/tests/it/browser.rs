//! The console in a real browser: Chromium, driven by `tests/browser/run.mjs`.
//!
//! One test and one browser for all pages. A page is a line of [`PAGES`]; what can be done on it is a scenario, a file in
//! `tests/browser/scenarios/`. `UPDATE_SCREENSHOT=1` writes the picture of the README.

use std::{path::Path, time::Duration};

use examhall_testkit::Process;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    Api, TIMEOUT,
    browser_data::{self, Mails},
};

/// Name of the screenshots, path, and whether it is for everybody.
const PAGES: &[(&str, &str, bool)] = &[
    ("overview", "/console", false),
    ("failures", "/console/failures", false),
    ("mailers", "/console/mailers", false),
    ("charts", "/console/charts", false),
    ("charts-14-days", "/console/charts?per=hour", false),
    ("audit", "/console/audit", false),
    ("mails", "/console/mails?q=state:failed", false),
    ("mails-fault", "/console/mails?q=state:lost", false),
    ("mails-none", "/console/mails?q=to:nobody@example.com", false),
    ("mails-address", "/console/mails?q=ada.gone@example.com", false),
    ("mails-retry", "/console/mails/actions?action=retry&q=reason:5.2.2", false),
    ("mails-drop", "/console/mails/actions?action=drop&q=state:held", false),
    ("held", "/console/held", false),
    ("suppressions", "/console/suppressions", false),
    ("suppressions-held", "/console/suppressions?held=true", false),
    ("cache", "/console/cache", false),
    ("preview", "/console/preview", false),
    ("error", "/console/nowhere", false),
    ("login", "/console/login", true),
    ("public-front", "/", true),
    ("public-reset", "/reset?token=x", true),
    ("public-verify", "/verify?token=x", true),
    ("refused-invitation", "/invitation?token=x", true),
    ("refused-unsubscribe", "/unsubscribe?token=x", true),
    ("error-public", "/trouble", true),
];

/// Pages of single mails, whose ids are known only now.
fn pages_of(mails: &Mails, token: &str, invitation: &str) -> Vec<(&'static str, String, bool)> {
    let mail = |id: &str| format!("/console/mails/{id}");
    vec![
        ("mail-suppressed", mail(&mails.suppressed), false),
        ("mail-held", mail(&mails.held), false),
        ("mail-deferred", mail(&mails.deferred), false),
        ("mail-sent", mail(&mails.sent), false),
        ("mail-body", format!("/console/preview/sent?id={}", mails.held), false),
        ("public-unsubscribe", format!("/unsubscribe?token={token}"), true),
        ("public-invitation", format!("/invitation?token={invitation}"), true),
    ]
}

const CHROMIUM: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

fn chromium() -> String {
    let named = std::env::var("EXAMHALL_CHROMIUM").ok();
    let found = CHROMIUM.iter().find(|path| Path::new(path).exists()).map(|path| (*path).to_owned());
    named.or(found).expect("Chromium: run ./scripts/test once, or set EXAMHALL_CHROMIUM")
}

/// A link that logs an administrator in.
async fn login_link(api: &Api) -> String {
    let mut made = Process::spawn_binary("api", &["console-link"], api.world.settings());
    assert!(made.exit(TIMEOUT).await.success(), "{}", made.output());
    let output = made.output();
    let token = output.lines().find_map(|line| line.split_once("/console/login?token=")).expect("a link").1;
    format!("{}/console/login?token={token}", api.base)
}

#[tokio::test]
async fn console_has_no_faults_in_a_browser_on_sqlite() {
    let api = Api::start_in(browser_data::world().await).await;
    let (email, password) = api.create_user("admin").await;
    let login = json!({"email": email, "password": password});
    let answer: Value = api.post("/api/v1/auth/login", &login).await.json().await.expect("JSON");
    let seeded = api.seed().await;
    let token = browser_data::unsubscribe_token(&api, &seeded).await;
    let invitation = browser_data::invitation_token(&api, &seeded).await;
    let mails = browser_data::mails(&api, answer["accessToken"].as_str().expect("a token")).await;
    let mailers = browser_data::mailers(&api).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let screenshots = root.join("../../target/screenshots");
    let pages = PAGES.iter().map(|(name, path, is_public)| (*name, (*path).to_owned(), *is_public));
    let pages: Vec<_> = pages
        .chain(pages_of(&mails, &token, &invitation))
        .map(|(name, path, is_public)| json!({"name": name, "path": path, "isPublic": is_public}))
        .collect();
    let config = json!({
        "base": api.base,
        "link": login_link(&api).await,
        "chromium": chromium(),
        "screenshots": screenshots,
        "pages": pages,
        "env": {"email": email, "password": password, "token": answer["accessToken"], "exam": seeded["examId"],
                "mails": {"suppressed": mails.suppressed, "held": mails.held}},
    });
    let mut node = Command::new("node");
    node.arg(root.join("tests/browser/run.mjs")).arg(config.to_string());
    let mut driver = Process::spawn("the browser's driver", &mut node);
    let status = driver.exit(Duration::from_mins(4)).await;
    mailers.abort();
    assert!(status.success(), "{}", driver.output());
    if std::env::var_os("UPDATE_SCREENSHOT").is_some() {
        std::fs::copy(screenshots.join("readme-light.png"), root.join("../../docs/console.png")).expect("copied");
    }
    api.stop().await;
}
