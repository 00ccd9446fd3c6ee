//! What docs/redis.md says of Redis in production is so.

use std::{fs, path::Path};

use examhall_testkit::{Action, DatabaseKind, Phase, Process, Redis, RedisOptions, World, eventually};
use fred::types::Value;
use serde_json::{Value as Json, json};
use tokio::process::Command;

use crate::{Api, TIMEOUT, administrator, seed, token};

fn guide() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/redis.md")).expect("the guide")
}

/// The lines of the first block of this language.
fn block(language: &str) -> Vec<String> {
    let guide = guide();
    let text = guide.split(&format!("```{language}\n")).nth(1).expect("a block").split("```").next();
    text.unwrap_or_default().lines().map(ToOwned::to_owned).collect()
}

/// Creates the users of the guide; returns the address for each, the api's first.
async fn users(redis: &Redis) -> Vec<String> {
    let mut addresses = Vec::new();
    for line in block("acl") {
        let words: Vec<_> = line.split_whitespace().collect();
        let password = words.iter().find_map(|word| word.strip_prefix('>')).expect("a password");
        addresses.push(format!("redis://{}:{password}@127.0.0.1:{}", words[1], redis.port()));
        let command: Vec<_> = ["ACL", "SETUSER"].into_iter().chain(words[1..].iter().copied()).collect();
        redis.command::<String>(&command).await;
    }
    addresses
}

async fn run(world: &World, program: &str, args: &[&str]) {
    let mut process = Process::spawn_binary(program, args, world.settings());
    assert!(process.exit(TIMEOUT).await.success(), "{program} {args:?}: {}", process.output());
}

#[tokio::test]
async fn both_programs_work_as_the_acl_users_of_the_guide() {
    let mut world = World::start().await;
    let addresses = users(&world.redis).await;
    world.set("REDIS_URL", &addresses[0]);
    let (one, other) = (Api::start(&world).await, Api::start(&world).await);
    let seeded = seed(&world).await;
    run(&world, "api", &["check"]).await;

    world.set("REDIS_URL", &addresses[1]);
    let mailer = world.mailer(&[]);
    mailer.line("Mailer running").await;
    one.sign_up("ada@example.com").await;
    world.smtp.wait_for(1).await;
    use_exams(&one, &other, &seeded).await;
    nothing_was_refused(&world).await;
    let admin = administrator(&world, &one).await;
    administer(&world, &one, &admin).await;

    world.smtp.behave(
        |phase, _| if phase == Phase::Rcpt { Action::Reply("550 no such mailbox".into()) } else { Action::Proceed },
    );
    let failed = one.mail(&admin, &json!({"to": "bob@example.com", "subject": "x", "html": "x"})).await;
    mailer.line("Mail not accepted").await;
    let later =
        one.mail(&admin, &json!({"to": "eve@example.com", "subject": "x", "html": "x", "delayMs": 3_600_000})).await;
    for args in [
        &["queue", "status"][..],
        &["queue", "list", "--state", "failed"],
        &["queue", "show", &failed],
        &["queue", "retry", &failed],
        &["queue", "promote", &later],
        &["queue", "remove", &failed],
        &["queue", "pause"],
        &["queue", "resume"],
        &["queue", "retry-failed"],
        &["queue", "clean", "--older-than", "1h"],
        &["suppressions", "add", "bob@example.com"],
        &["suppressions", "list"],
        &["suppressions", "remove", "bob@example.com"],
        &["--once"],
        &["check"],
    ] {
        run(&world, "mailer", args).await;
    }
    nothing_was_refused(&world).await;
}

async fn nothing_was_refused(world: &World) {
    let refused: Value = world.redis.cmd("ACL LOG").await;
    assert_eq!(refused.array_len(), Some(0), "{refused:#?}");
}

/// Reads, changes and reads again, by two processes.
async fn use_exams(one: &Api, other: &Api, seeded: &Json) {
    let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
    let log_in = async |email: &Json| token(one, email.as_str().expect("text"), "examhall-demo").await;
    let (student, author) = (log_in(&seeded["studentEmails"][0]).await, log_in(&seeded["authorEmail"]).await);
    for api in [one, other] {
        let sheet = api.client.get(format!("{}{exam}/questions", api.base)).bearer_auth(&student);
        assert_eq!(sheet.send().await.expect("an answer").status(), 200);
    }
    let change = one.client.patch(format!("{}{exam}", one.base)).bearer_auth(&author);
    assert_eq!(change.json(&json!({"title": "Logic"})).send().await.expect("an answer").status(), 200);
}

async fn administer(world: &World, api: &Api, admin: &str) {
    for path in ["/queue", "/emails?state=completed"] {
        let answer = api.client.get(format!("{}{path}", api.base)).bearer_auth(admin).send().await.expect("an answer");
        nothing_was_refused(world).await;
        assert_eq!(answer.status(), 200, "{path}");
    }
    for path in ["/queue/pause", "/queue/resume", "/emails/retry-failed"] {
        let answer = api.client.post(format!("{}{path}", api.base)).bearer_auth(admin).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}

/// A grant that no source file has a use for is one too many.
#[test]
fn the_users_of_the_guide_may_do_nothing_that_no_program_does() {
    let mut sources = String::new();
    for folder in ["redis/src", "queue/src", "cache/src", "delivery/src"] {
        gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut sources);
    }
    // What the client library says by itself when it connects.
    let by_itself = ["hello", "client|setname", "client|tracking", "info"];
    for grant in block("acl").iter().flat_map(|line| line.split(" +").skip(1)) {
        let command = grant.rsplit('|').next().unwrap_or_default().to_uppercase();
        let method = format!(".{}(", command.to_lowercase());
        let is_named = |quote: &&str| sources.contains(&format!("{quote}{command}{quote}"));
        let is_used = ["'", "\""].iter().any(is_named) || sources.contains(&method);
        assert!(is_used || by_itself.contains(&grant), "nothing uses {grant}");
    }
}

fn gather(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            gather(&entry, sources);
        } else {
            sources.push_str(&fs::read_to_string(&entry).expect("text"));
        }
    }
}

#[tokio::test]
async fn the_mails_of_a_restored_backup_are_sent() {
    let lasting = || RedisOptions { append_only: true, ..RedisOptions::default() };
    let mut world = World::start_with(DatabaseKind::Sqlite, lasting()).await;
    let api = Api::start(&world).await;
    api.sign_up("ada@example.com").await;
    eventually("the mail waits", TIMEOUT, async || {
        (world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await == 1).then_some(())
    })
    .await;
    drop(api);
    world.redis.cmd::<String>("SAVE").await;

    // The commands of the guide, on the files of this Redis.
    let (copies, restored) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let archive = copies.path().join("examhall-redis.tar");
    for line in block("sh") {
        let line = line.replace("redis-cli", &format!("redis-cli -p {}", world.redis.port()));
        let line = line.replace("/var/lib/redis", &world.redis.folder().display().to_string());
        let line = line.replace("examhall-redis.tar", &archive.display().to_string());
        let done = Command::new("sh").args(["-c", &line]).output().await.expect("a shell");
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }
    world.redis.cmd::<String>("FLUSHALL").await;
    let unpacked = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(restored.path()).status().await;
    assert!(unpacked.expect("tar").success());
    let args = vec!["--dir".to_owned(), restored.path().display().to_string()];
    world.redis = Redis::start_with(RedisOptions { args, ..lasting() }).await;

    let _mailer = world.mailer(&[]);
    let mails = world.smtp.wait_for(1).await;
    assert_eq!(mails[0].to, ["ada@example.com"]);
}

/// Bytes in the guide's table for what its first cell begins with.
fn bytes_of(what: &str) -> f64 {
    let guide = guide();
    let row = guide.lines().find(|line| line.starts_with(&format!("| {what}"))).expect("a row");
    let cell = row.split('|').nth(2).expect("a second cell").trim().replace(',', "");
    cell.trim_end_matches(" bytes").parse().expect("bytes")
}

#[tokio::test]
async fn mails_in_redis_take_as_much_room_as_the_guide_says() {
    const MAILS: u32 = 500;
    let mut world = World::start().await;
    world.set("MAIL_KEEP_BODIES", "false");
    let api = Api::start(&world).await;
    let admin = administrator(&world, &api).await;
    let (html, text) = ("<p>x</p>".repeat(250), "x".repeat(500));
    let mail = json!({"to": "ada@example.com", "subject": "Your result", "html": html, "text": text});
    for _ in 0..MAILS {
        api.mail(&admin, &mail).await;
    }
    // Where Redis was slow, the relay adds what the request could not.
    let is_queued = async || {
        let waiting = world.redis.cmd::<i64>("ZCARD bull:email:prioritized").await;
        (waiting == i64::from(MAILS)).then_some(())
    };
    eventually("all to be in the queue", TIMEOUT, is_queued).await;
    let waiting = used_memory(&world).await / f64::from(MAILS);
    assert_eq!(bodies(&world).await, i64::from(MAILS));
    let _mailer = world.mailer(&[]);
    eventually("all are done, and their bodies wiped", TIMEOUT, async || {
        let done = world.redis.cmd::<i64>("ZCARD bull:email:completed").await == i64::from(MAILS);
        (done && bodies(&world).await == 0).then_some(())
    })
    .await;
    let sent = used_memory(&world).await / f64::from(MAILS);
    for (what, measured) in [("a mail that waits", waiting), ("a mail that was sent", sent)] {
        let said = bytes_of(what);
        assert!((0.8..1.2).contains(&(measured / said)), "{what}: {measured:.0} bytes, and the guide says {said}");
    }
}

/// How many jobs hold the body of their mail.
async fn bodies(world: &World) -> i64 {
    const COUNT: &str = "local bodies = 0
        for _, key in ipairs(redis.call('KEYS', 'bull:email:*')) do
          local data = redis.call('TYPE', key).ok == 'hash' and redis.call('HGET', key, 'data')
          if data and string.find(data, '<p>x', 1, true) then bodies = bodies + 1 end
        end
        return bodies";
    world.redis.command(&["EVAL", COUNT, "0"]).await
}

/// Bytes that mails take, but for the queue's events, which are 10,000 at most.
async fn used_memory(world: &World) -> f64 {
    const SUM: &str = "local bytes = 0
        for _, pattern in ipairs({'bull:email:*', 'mail:sent:*'}) do
          for _, key in ipairs(redis.call('KEYS', pattern)) do
            if key ~= 'bull:email:events' then bytes = bytes + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) end
          end
        end
        return bytes";
    world.redis.command(&["EVAL", SUM, "0"]).await
}
