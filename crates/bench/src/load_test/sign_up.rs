//! Everybody signs up in the same moment, confirms the address and logs in.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    report::Report,
    system::{System, timed},
};

const PASSWORD: &str = "a long enough password";

pub(crate) async fn drive(system: &System, users: u32, report: &mut Report) -> anyhow::Result<()> {
    let before = system.accepted();
    let started = Instant::now();
    let users: Vec<_> = (0..users).map(|n| format!("user{n}@example.com")).collect();
    let account = |email: &String| json!({"email": email, "name": "User", "password": PASSWORD});
    step(system, report, "sign-up", "/auth/signup", users.iter().map(account)).await;
    system.mails(before + users.len()).await?;
    report.fact("sign-up: s until the last mail", started.elapsed().as_secs_f64());

    let mails = system.world.smtp.received().split_off(before);
    let tokens = mails.iter().filter_map(|mail| token_in(&mail.message));
    step(system, report, "verify", "/auth/verify", tokens.map(|token| json!({"token": token}))).await;
    let log_in = |email: &String| json!({"email": email, "password": PASSWORD});
    step(system, report, "login", "/auth/login", users.iter().map(log_in)).await;
    Ok(())
}

async fn step(system: &System, report: &mut Report, name: &str, path: &str, bodies: impl Iterator<Item = Value>) {
    let requests = bodies.map(|body| timed(system.request(Method::POST, path).json(&body)));
    let times: Vec<Option<Duration>> =
        join_all(requests).await.into_iter().map(|answer| answer.ok().map(|answer| answer.took)).collect();
    report.step(&format!("sign-up storm: {name}"), &times);
}

/// The token of the link in a mail, whose text is quoted-printable.
fn token_in(message: &str) -> Option<String> {
    let text = message.replace("=\r\n", "").replace("=3D", "=");
    let after = text.split("/verify?token=").nth(1)?;
    Some(after.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect())
}
