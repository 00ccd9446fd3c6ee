//! Tests of the mailer in process, each in a world of its own.

mod delivery;

use examhall_boot::settings::{MailerSettings, Values};
use examhall_core::{EmailJob, Priority};
use examhall_mailer::{Drain, DrainOptions, Mailer, Progress};
use examhall_queue::{Connection, JobOptions, NewJob, Queue};
use examhall_testkit::World;
use serde_json::{Value, json};
use std::collections::HashMap;
use tokio_util::sync::CancellationToken;

/// A world, and a producer that adds mails to its queue.
struct Post {
    world: World,
    queue: Queue<Value>,
}

impl Post {
    async fn start() -> Self {
        let world = World::start().await;
        let connection = Connection::open(&world.redis.url()).expect("a good URL");
        connection.ready().await.expect("connected");
        let queue = Queue::new(connection, "bull", "email").expect("good names");
        Self { world, queue }
    }

    /// Adds a mail to these recipients; gives its job's id.
    async fn add(&self, to: Value) -> String {
        self.add_data(json!({"to": to, "subject": "Hello", "html": "<p>Hi</p>", "text": "Hi"})).await
    }

    async fn add_data(&self, data: Value) -> String {
        let options =
            JobOptions { priority: Priority::DEFAULT.to_bullmq(), retry: EmailJob::RETRY, ..JobOptions::default() };
        self.queue.add(NewJob { name: EmailJob::NAME.to_owned(), data, options }).await.expect("added")
    }

    /// Runs a mailer until there is nothing left to do.
    async fn drain(&self) -> Drain {
        let values = Values::from_pairs(self.world.settings()).expect("good settings");
        let mailer =
            Mailer::connect(MailerSettings::checked(&values).expect("good settings")).await.expect("connected");
        mailer.drain(DrainOptions::default(), Progress::default(), CancellationToken::new()).await.expect("drained")
    }

    async fn job(&self, id: &str) -> HashMap<String, String> {
        self.queue.raw(id).await.expect("read")
    }

    /// The job's return value.
    async fn returned(&self, id: &str) -> Value {
        serde_json::from_str(&self.job(id).await["returnvalue"]).expect("JSON")
    }
}
