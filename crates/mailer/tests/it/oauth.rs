//! Login by access tokens (XOAUTH2) at a server that demands it.

use std::{fs, time::Duration};

use examhall_testkit::{Action, Encryption, Phase, SmtpOptions, TokenAnswer, TokenServer, eventually};

use crate::{Post, TIMEOUT, at, metrics::metric_is, reply};

const USER: &str = "no-reply@school.example";
const SECRET: &str = "planted~secret";

fn issue(life: u64) -> TokenAnswer {
    TokenAnswer::Issue { life, refresh_token: None }
}

/// A server that takes only `token-1`, ..., and a mailer that gets them from the token server.
async fn start(parameters: &str) -> (Post, TokenServer) {
    let options = SmtpOptions {
        encryption: Encryption::StartTls,
        log_in: Some((USER.to_owned(), "no password is right".to_owned())),
        mechanisms: "LOGIN XOAUTH2",
        ..SmtpOptions::default()
    };
    let (mut post, tokens) = (Post::start_with(options).await, TokenServer::start().await);
    post.world.smtp.accept_tokens(&["token-1"]);
    let user = USER.replace('@', "%40");
    let url = format!(
        "{}&auth=xoauth2&client_id=app&token_url={}&{parameters}",
        post.world.smtp.url_with(&format!("{user}@")),
        tokens.url()
    );
    post.world.set("SMTP_URL", &url);
    post.world.set("SMTP_PROBE_MS", "300");
    (post, tokens)
}

async fn with_secret() -> (Post, TokenServer) {
    start(&format!("client_secret={SECRET}&scope=mail.send+x")).await
}

#[tokio::test]
async fn mails_are_sent_with_a_token_that_is_cached() {
    let (post, tokens) = with_secret().await;
    post.add_many(20).await;
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (20, 0));
    let requests = tokens.requests();
    assert_eq!(requests.len(), 1, "five connections share a token: {requests:?}");
    let expected = [
        ("client_id", "app"),
        ("client_secret", SECRET),
        ("grant_type", "client_credentials"),
        ("scope", "mail.send x"),
    ];
    assert!(requests[0].iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected), "{requests:?}");
    assert_eq!(post.world.smtp.count("AUTH LOGIN"), 0);
}

#[tokio::test]
async fn ended_token_is_requested_again() {
    let (post, tokens) = with_secret().await;
    tokens.answer(issue(1));
    post.world.smtp.accept_tokens(&["token-1", "token-2"]);
    post.world.smtp.behave(|phase, _| if phase == Phase::EndOfData { reply("421 4.3.2 bye") } else { Action::Proceed });
    post.add_many(1).await;
    let mailer = post.world.mailer(&[]);
    // Each probe and each mail logs in again; the token lasts 0.8 s.
    eventually("a second token", TIMEOUT, async || (tokens.requests().len() >= 2).then_some(())).await;
    tokens.answer(issue(3600));
    post.world.smtp.accept_tokens(&["token-1", "token-2", "token-3", "token-4", "token-5"]);
    post.world.smtp.behave(|_, _| Action::Proceed);
    post.completed(1).await;
    assert!(!mailer.output().contains("login_refused"), "{}", mailer.output());
}

#[tokio::test]
async fn refused_token_is_renewed_once() {
    let (post, tokens) = with_secret().await;
    post.world.smtp.accept_tokens(&["token-2"]);
    post.add_many(3).await;
    assert_eq!((post.drain().await.sent, tokens.requests().len()), (3, 2));
}

#[tokio::test]
async fn refused_login_has_its_words_and_costs_no_attempt() {
    let (post, tokens) = with_secret().await;
    post.world.smtp.accept_tokens(&[]);
    post.add_many(8).await;
    let mailer = post.world.mailer(&[]);
    let alert = mailer.line("Provider needs an operator").await;
    assert!(alert.contains("login_refused") && alert.contains("535 5.7.3 at auth"), "{alert}");
    assert!(alert.contains("is not authenticated") && alert.contains("401"), "the server's words: {alert}");
    assert!(tokens.requests().len() >= 2, "renewed once");
    post.world.smtp.accept_tokens(
        &(1..100).map(|n| format!("token-{n}")).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>(),
    );
    post.completed(8).await;
    assert_eq!((post.counts().await.failed, post.world.smtp.received().len()), (0, 8));
    let output = mailer.output();
    assert!(!output.contains(SECRET) && !output.contains("token-1") && !output.contains(USER), "{output}");
}

#[tokio::test]
async fn trouble_of_a_token_server_is_the_providers() {
    let said = r#"{"error":"invalid_client","error_description":"AADSTS7000222: planted~secret of a@b.example has expired.\r\nTrace"}"#;
    let refused = TokenAnswer::Status(401, said.to_owned());
    let answers = [
        (TokenAnswer::Close, "unavailable"),
        (TokenAnswer::Hang, "unavailable"),
        (TokenAnswer::Status(503, "<p>busy".to_owned()), "unavailable"),
        (TokenAnswer::Status(429, "{}".to_owned()), "unavailable"),
        (TokenAnswer::Status(200, "<p>log in".to_owned()), "unavailable"),
        (TokenAnswer::Status(404, "<p>nothing".to_owned()), "login_refused"),
        (TokenAnswer::Status(302, String::new()), "login_refused"),
        (refused, "login_refused"),
    ];
    let (mut post, tokens) = with_secret().await;
    post.world.set("SMTP_TIMEOUT_MS", "1000");
    post.add_many(6).await;
    let mailer = post.world.mailer(&[]);
    for (answer, trouble) in answers {
        tokens.answer(answer.clone());
        let started = tokens.requests().len();
        eventually("it was asked", TIMEOUT, async || (tokens.requests().len() > started).then_some(())).await;
        let (state, counted) = if trouble == "unavailable" { (2.0, "unavailable") } else { (3.0, "login_refused") };
        let metric = format!(
            "mailer_provider_trouble_total{{provider=\"127.0.0.1:{}\",trouble=\"{counted}\"}}",
            post.world.smtp.port()
        );
        metric_is(&mailer, &metric, 1.0).await;
        metric_is(&mailer, "mailer_breaker_state", state).await;
        assert_eq!((post.counts().await.failed, post.world.smtp.count("MAIL")), (0, 0), "{answer:?}");
    }
    let mut check = post.world.mailer(&["check"]);
    assert_eq!(check.exit(TIMEOUT).await.code(), Some(69));
    let output = check.output();
    assert!(output.contains("FAILED   SMTP token") && output.contains("AADSTS7000222"), "{output}");
    assert!(output.contains("put a new client secret") && !output.contains(SECRET), "{output}");
    tokens.answer(issue(3600));
    let next = tokens.requests().len() + 20;
    let valid: Vec<_> = (1..next).map(|n| format!("token-{n}")).collect();
    post.world.smtp.accept_tokens(&valid.iter().map(String::as_str).collect::<Vec<_>>());
    post.completed(6).await;
    let mut check = post.world.mailer(&["check"]);
    assert_eq!(check.exit(TIMEOUT).await.code(), Some(0), "{}", check.output());
    let output = mailer.output();
    assert!(output.contains("AADSTS7000222") || output.contains("status 404"), "{output}");
    assert!(!output.contains(SECRET) && !output.contains("a@b.example"), "{output}");
}

#[tokio::test]
async fn refresh_token_is_used_replaced_and_read_again() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "first\n").expect("written");
    let (post, tokens) = start(&format!("refresh_token_file={}", file.path().display())).await;
    tokens.answer(TokenAnswer::Issue { life: 3600, refresh_token: Some("second".to_owned()) });
    post.add_many(2).await;
    assert_eq!(post.drain().await.sent, 2);
    let request = tokens.requests().remove(0);
    assert_eq!((request["grant_type"].as_str(), request["refresh_token"].as_str()), ("refresh_token", "first"));
    assert!(!request.contains_key("client_secret"), "a public client");
    assert_eq!(fs::read_to_string(file.path()).expect("read"), "second", "kept for the next start");
    post.world.smtp.accept_tokens(&["token-2"]);
    post.add_many(1).await;
    assert_eq!((post.drain().await.sent, tokens.requests()[1]["refresh_token"].as_str()), (1, "second"));
}

#[tokio::test]
async fn hangup_reads_the_secret_from_its_file_again() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "old\n").expect("written");
    let (post, tokens) = start(&format!("client_secret_file={}", file.path().display())).await;
    tokens.answer(TokenAnswer::Status(401, r#"{"error":"invalid_client"}"#.to_owned()));
    post.add_many(1).await;
    let mailer = post.world.mailer(&[]);
    assert!(mailer.line("Provider needs an operator").await.contains("invalid_client"));
    fs::write(file.path(), "new\n").expect("written");
    let hangup = std::process::Command::new("kill").args(["-HUP", &mailer.pid().to_string()]).status();
    assert!(hangup.expect("kill").success());
    mailer.line("Settings reloaded").await;
    let next = tokens.requests().len() + 20;
    let valid: Vec<_> = (1..next).map(|n| format!("token-{n}")).collect();
    post.world.smtp.accept_tokens(&valid.iter().map(String::as_str).collect::<Vec<_>>());
    tokens.answer(issue(3600));
    post.completed(1).await;
    let secrets: Vec<_> = tokens.requests().iter().map(|request| request["client_secret"].clone()).collect();
    assert_eq!((secrets.first().map(String::as_str), secrets.last().map(String::as_str)), (Some("old"), Some("new")));
}

#[tokio::test]
async fn server_without_xoauth2_gets_no_token() {
    let (mut post, tokens) = with_secret().await;
    let options = SmtpOptions {
        encryption: Encryption::StartTls,
        log_in: Some((USER.to_owned(), "x".to_owned())),
        ..SmtpOptions::default()
    };
    let without = examhall_testkit::SmtpServer::start_with(options).await;
    let url = format!(
        "{}&auth=xoauth2&client_id=app&client_secret=x&token_url={}",
        without.url_with("no-reply%40school.example@"),
        tokens.url()
    );
    post.world.set("SMTP_URL", &url);
    let mut check = post.world.mailer(&["check"]);
    assert_eq!(check.exit(TIMEOUT).await.code(), Some(69));
    assert!(check.output().contains("does not offer AUTH XOAUTH2"), "{}", check.output());
    assert_eq!(without.count("AUTH"), 0);
    // A temporary refusal renews nothing: time fixes that.
    let (post, tokens) = with_secret().await;
    post.world.smtp.behave(at(Phase::Auth, reply("454 4.7.0 temporary failure")));
    post.add_many(1).await;
    let mailer = post.world.mailer(&[]);
    mailer.line("Provider's circuit is open").await;
    assert_eq!(tokens.requests().len(), 1);
    post.world.smtp.behave(|_, _| Action::Proceed);
    tokio::time::timeout(Duration::from_mins(1), post.completed(1)).await.expect("sent");
}
