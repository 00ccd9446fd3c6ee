//! What is killed, stopped or removed loses no mail.

use examhall_testkit::{Action, Phase, RedisOptions, World, eventually};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{Api, TIMEOUT};

#[tokio::test]
async fn a_mailer_killed_between_take_and_finish_loses_nothing() {
    let mut world = World::start().await;
    for name in ["QUEUE_LOCK_MS", "QUEUE_STALLED_INTERVAL_MS"] {
        world.set(name, "1000"); // so that its mails are soon another's
    }
    let api = Api::start(&world).await;
    world.smtp.behave(|phase, _| if phase == Phase::Data { Action::Hang } else { Action::Proceed });
    let mut first = world.mailer(&[]);
    api.sign_up("ada@example.com").await;
    world.smtp.wait_for_command("DATA").await; // taken, and not finished
    first.kill().await;

    world.smtp.behave(|_, _| Action::Proceed);
    let second = world.mailer(&[]);
    world.smtp.wait_for(1).await;
    second.line("Mail accepted").await;
    eventually("the job's end", TIMEOUT, async || {
        (world.redis.cmd::<i64>("ZCARD bull:email:completed").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.smtp.received().len(), 1);
    assert_eq!(world.redis.cmd::<i64>("EXISTS bull:email:active bull:email:wait bull:email:prioritized").await, 0);
}

#[tokio::test]
async fn a_mail_signed_up_for_while_redis_is_away_is_delivered_once() {
    let mut world = World::start_with(
        examhall_testkit::DatabaseKind::Sqlite,
        RedisOptions { append_only: true, ..RedisOptions::default() },
    )
    .await;
    let (api, mailer) = (Api::start(&world).await, world.mailer(&[]));
    mailer.line("Mailer running").await;
    world.redis.kill().await;
    api.sign_up("ada@example.com").await;
    world.redis.restart().await;
    world.smtp.wait_for(1).await;
    eventually("the job's end", TIMEOUT, async || {
        (world.redis.cmd::<i64>("ZCARD bull:email:completed").await == 1).then_some(())
    })
    .await;
    api.sign_up("bob@example.com").await;
    let mails = world.smtp.wait_for(2).await;
    let to: Vec<_> = mails.iter().map(|mail| mail.to[0].as_str()).collect();
    assert_eq!(to, ["ada@example.com", "bob@example.com"], "each once");
}

#[tokio::test]
async fn the_mail_of_an_api_killed_after_its_answer_is_sent() {
    let mut world = World::start().await;
    let mut api = Api::start(&world).await;
    world.redis.kill().await; // so that the relay cannot have queued it
    api.sign_up("ada@example.com").await;
    api.process.kill().await;
    world.redis.restart().await;
    let (_api, _mailer) = (Api::start(&world).await, world.mailer(&[]));
    world.smtp.wait_for(1).await;
}

#[tokio::test]
async fn a_mailer_told_to_stop_finishes_the_mail_in_hand() {
    let world = World::start().await;
    let api = Api::start(&world).await;
    world.smtp.behave(|phase, _| if phase == Phase::EndOfData { Action::Hang } else { Action::Proceed });
    let mut mailer = world.mailer(&[]);
    api.sign_up("ada@example.com").await;
    world.smtp.wait_for_command("DATA").await;
    mailer.terminate();
    mailer.line("Stopping").await;
    world.smtp.behave(|_, _| Action::Proceed);
    assert_eq!(mailer.exit(TIMEOUT).await.code(), Some(0), "{}", mailer.output());
    assert_eq!(world.smtp.received().len(), 1);
    assert_eq!(world.redis.cmd::<i64>("ZCARD bull:email:completed").await, 1);
}

#[tokio::test]
async fn an_api_told_to_stop_answers_the_request_in_hand() {
    let world = World::start().await;
    let mut api = Api::start(&world).await;
    let body = serde_json::json!({"email": "ada@example.com", "name": "Ada", "password": "correct horse"}).to_string();
    let address = api.base.trim_start_matches("http://").split('/').next().expect("host and port");
    let mut stream = BufReader::new(TcpStream::connect(address).await.expect("connected"));
    let head = format!(
        "POST /api/v1/auth/signup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("an answer");
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n", "the request is in flight");

    api.process.terminate();
    api.process.line("Stopping").await;
    stream.write_all(body.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.contains("HTTP/1.1 202 Accepted"), "{answer}");
    assert_eq!(api.process.exit(TIMEOUT).await.code(), Some(0), "{}", api.process.output());
}
