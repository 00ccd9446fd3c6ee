//! The question sheet over HTTP: by its real route, against a handler that only sends the same bytes, and against what
//! Examhall replaces.

use std::{net::SocketAddr, path::Path, process::Command as SyncCommand, time::Duration};

use actix_web::{HttpResponse, web};
use anyhow::Context;
use examhall_api::Application;
use examhall_boot::{
    metrics::Metrics,
    settings::{ApiSettings, Values},
    start::StartError,
};
use examhall_testkit::{Process, World};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::{
    load::{self, Load},
    queue::median,
};

/// Connections at once, and for how long.
const LOAD: Load = Load { connections: 32, lasts: Duration::from_secs(2) };
/// How often the two handlers take turns.
const ROUNDS: usize = 5;
/// Readers of a cold exam.
const HERD: usize = 500;
/// Questions that make a sheet of 8 KB.
const QUESTIONS: &str = "58";

pub(crate) async fn measure() -> anyhow::Result<()> {
    let world = World::start().await;
    let settings = world.settings();
    let seeded = seed(&settings)?;
    let stop = CancellationToken::new();
    let checked = ApiSettings::checked(&Values::from_pairs(settings.clone())?)?;
    let sheet = std::sync::Arc::new(std::sync::OnceLock::<web::Bytes>::new());
    let bytes = sheet.clone();
    let hello = move || {
        let bytes = bytes.get().cloned().unwrap_or_default();
        async move { HttpResponse::Ok().content_type("application/json").body(bytes) }
    };
    let routes = move |app: &mut web::ServiceConfig| {
        app.route("/hello", web::get().to(hello.clone()));
    };
    let app = Application::start(checked, Metrics::install(), stop.clone()).await.map_err(StartError::into_error)?;
    let app = app.context("it was not stopped")?.with_routes(routes);
    let address = app.address()?;
    let running = tokio::spawn(app.run());

    let token = log_in(address, &seeded["studentEmails"][0], &seeded["password"]).await?;
    let author = log_in(address, &seeded["authorEmail"], &seeded["password"]).await?;
    let exam = format!("/api/v1/exams/{}", seeded["examId"].as_str().context("no exam")?);
    let path = format!("{exam}/questions");
    load::once(address, &load::post_as(&format!("{exam}/attempts"), &token)).await?;
    let request = load::get(&path, &token);
    let body = load::body(&load::once(address, &request).await?).to_vec();
    println_bytes(body.len());
    sheet.get_or_init(|| body.clone().into());

    let (mut hello, mut real, mut free) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        hello.push(LOAD.run(address, &load::get("/hello", &token)).await?);
        real.push(LOAD.run(address, &request).await?);
        free.push(LOAD.run(address, &load::get(&path, &author)).await?);
    }
    let middle = |rates: Vec<f64>| median(rates.into_iter()).context("no rounds");
    let (hello, real, free) = (middle(hello)?, middle(real)?, middle(free)?);
    crate::print_rate("GET, a handler that only sends the bytes", hello, None);
    crate::print_rate("GET, the question sheet", real, Some(("of that handler", hello)));
    crate::note(&format!(
        "by its author, of whom no attempt is asked: {free:.0}/s; a student's is {:.0} % of that",
        100.0 * real / free
    ));
    stop.cancel();
    running.await??;
    express(&world, &settings, &body, &request, real).await
}

async fn log_in(address: SocketAddr, email: &Value, password: &Value) -> anyhow::Result<String> {
    let request = load::post("/api/v1/auth/login", &json!({"email": email, "password": password}).to_string());
    let answer: Value = serde_json::from_slice(load::body(&load::once(address, &request).await?))?;
    Ok(answer["accessToken"].as_str().context("no access token")?.to_owned())
}

fn seed(settings: &[(String, String)]) -> anyhow::Result<Value> {
    let api = std::env::current_exe()?.with_file_name("api");
    let args = ["seed", "--questions", QUESTIONS, "--students", "1", "--json"];
    let seeded = SyncCommand::new(api).args(args).envs(settings.iter().cloned()).output()?;
    anyhow::ensure!(seeded.status.success(), "api seed: {}", String::from_utf8_lossy(&seeded.stderr));
    let line = seeded.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
    Ok(serde_json::from_slice(line.context("api seed printed nothing")?)?)
}

async fn express(
    world: &World,
    settings: &[(String, String)],
    body: &[u8],
    request: &[u8],
    ours: f64,
) -> anyhow::Result<()> {
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/express");
    if !peer.join("node_modules").exists() {
        crate::note("Express is not installed: run ./scripts/bench");
        return Ok(());
    }
    let secret = settings.iter().find(|(name, _)| name == "AUTH_SECRET").context("no secret")?.1.clone();
    world.redis.cmd::<String>("FLUSHALL").await;
    let mut command = Command::new("node");
    command.arg("server.js").args([&world.redis.url(), &secret, std::str::from_utf8(body)?]).current_dir(&peer);
    command.env("NODE_ENV", "production");
    let node = Process::spawn("express", &mut command);
    let port: u16 = node.line("port ").await.trim_start_matches("port ").trim().parse()?;
    let address = ([127, 0, 0, 1], port).into();
    let herd = futures_util::future::join_all((0..HERD).map(|_| load::once(address, request))).await;
    herd.into_iter().collect::<Result<Vec<_>, _>>()?;
    let loads = load::once(address, &load::get("/loads", "")).await?;
    let theirs = LOAD.run(address, request).await?;
    crate::print_rate("GET, Express with redis 5 and cache-aside", theirs, None);
    crate::note(&format!("the question sheet: {:.1} times Express", ours / theirs));
    let loads = String::from_utf8_lossy(load::body(&loads)).into_owned();
    crate::note(&format!("{HERD} cold readers of Express asked the database {loads} times"));
    Ok(())
}

fn println_bytes(bytes: usize) {
    crate::note(&format!("question sheet of {bytes} bytes"));
}
