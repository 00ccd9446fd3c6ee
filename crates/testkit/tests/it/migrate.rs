//! The rehearsal of the move from Node: the programs of the guide, with BullMQ and nodemailer as npm has them.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use examhall_testkit::{Process, World, eventually};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Api, TIMEOUT};

/// A folder with the guide's programs and the packages that they need.
struct Node {
    folder: TempDir,
    settings: Vec<(String, String)>,
}

impl Node {
    fn new(world: &World) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let packages = root.join("crates/bench/peers/nodemailer/node_modules");
        assert!(packages.exists(), "{} is missing: run `./scripts/test migrate`", packages.display());
        let folder = TempDir::new().expect("a folder");
        symlink(packages, folder.path().join("node_modules")).expect("a link");
        let guide = std::fs::read_to_string(root.join("docs/migrate-from-node.md")).expect("the guide");
        for block in guide.split("```js\n").skip(1) {
            let program = block.split("```").next().expect("the block ends");
            let name = program.trim_start_matches("// ").split([':', '\n']).next().expect("a name");
            std::fs::write(folder.path().join(name), program).expect("a program");
        }
        Self { folder, settings: world.settings() }
    }

    fn start(&self, program: &str, args: &[&str]) -> Process {
        let mut command = Command::new("node");
        command.arg(self.path(program)).args(args).envs(self.settings.iter().map(|(name, value)| (name, value)));
        Process::spawn(program, &mut command)
    }

    async fn add(&self, subject: &str, count: &str) {
        let mut producer = self.start("producer.mjs", &[subject, count]);
        assert!(producer.exit(TIMEOUT).await.success(), "{}", producer.output());
    }

    async fn worker(&self) -> Process {
        let worker = self.start("worker.mjs", &[]);
        worker.line("ready").await;
        worker
    }

    fn path(&self, program: &str) -> PathBuf {
        self.folder.path().join(program)
    }
}

/// Waits until `count` jobs have ended well; returns how many of them the mailer has sent.
async fn sent_by_the_mailer(world: &World, count: usize) -> usize {
    let ids = eventually("the ends of all jobs", TIMEOUT, async || {
        let ids: Vec<String> = world.redis.cmd("ZRANGE bull:email:completed 0 -1").await;
        (ids.len() == count).then_some(ids)
    })
    .await;
    let mut ours = 0;
    for id in ids {
        let value: String = world.redis.command(&["HGET", &format!("bull:email:{id}"), "returnvalue"]).await;
        let value: Value = serde_json::from_str(&value).expect("JSON");
        ours += usize::from(value["provider"].is_string());
    }
    ours
}

#[tokio::test]
async fn a_team_migrates_from_node_and_back_without_duplicates() {
    let world = World::start().await;
    let node = Node::new(&world);

    let mut worker = node.worker().await;
    node.add("Before", "3").await;
    assert_eq!(sent_by_the_mailer(&world, 3).await, 0);

    // 1. Alongside each other. A slow server, so that neither can take all the jobs alone.
    world.smtp.behave(|_, _| examhall_testkit::Action::Wait(Duration::from_millis(10)));
    let mut mailer = world.mailer(&[]);
    mailer.line("Mailer running").await;
    node.add("Together", "60").await;
    let ours = sent_by_the_mailer(&world, 63).await;
    assert!((1..60).contains(&ours), "the mailer sent {ours} of 60");

    // 2. The Node worker stops.
    worker.terminate();
    assert!(worker.exit(TIMEOUT).await.success(), "{}", worker.output());
    node.add("After", "5").await;
    assert_eq!(sent_by_the_mailer(&world, 68).await, ours + 5);

    // 3. The API adds, alongside a Node producer.
    let api = Api::start(&world).await;
    api.sign_up("ada@example.com").await;
    node.add("Still", "1").await;
    assert_eq!(sent_by_the_mailer(&world, 70).await, ours + 7);

    // And back: a Node worker sends what the API adds.
    mailer.terminate();
    assert!(mailer.exit(TIMEOUT).await.success(), "{}", mailer.output());
    let _worker = node.worker().await;
    api.sign_up("bob@example.com").await;
    assert_eq!(sent_by_the_mailer(&world, 71).await, ours + 7);

    let mails = world.smtp.received();
    let last = mails.last().expect("mails");
    assert_eq!((mails.len(), last.to[0].as_str()), (71, "bob@example.com"), "each mail once");
    assert_eq!(last.header("Subject").as_deref(), Some("Confirm your e-mail address"));
}
