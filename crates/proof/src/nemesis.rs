//! What breaks things, by a seed: the same seed gives the same blows in the same order.

use std::{sync::Mutex, time::Duration};

use anyhow::Context;
use examhall_testkit::{Action, Database, Phase, SmtpServer};
use fastrand::Rng;

use crate::{
    clock::Owner,
    log::Log,
    pipeline::Pipeline,
    put_back::{Copy, PutBack},
};

/// Longer than a job's lock.
const FROZEN: Duration = Duration::from_millis(1500);
/// How many times as often as usual a blow is struck on which a run looks.
const OFTEN: u32 = 20;

/// A blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Blow {
    MailerKilled,
    ApiKilled,
    RedisKilled,
    DatabaseKilled,
    MailerFrozen,
    ApiFrozen,
    RedisFrozen,
    RedisCut,
    AnswersLost,
    RedisFull,
    RedisEmptied,
    RedisPutBack,
    NodeWorkerKilled,
    NodeProducerKilled,
    ClockStepped,
    DeadMasterReplaced,
    LivingMasterReplaced,
}

impl Blow {
    /// Every blow, and how often it is struck in about 1000.
    const ALL: [(Self, u32); 17] = [
        (Self::MailerKilled, 700),
        (Self::ApiKilled, 120),
        (Self::RedisKilled, 50),
        (Self::DatabaseKilled, 20),
        (Self::MailerFrozen, 15),
        (Self::ApiFrozen, 10),
        (Self::RedisFrozen, 10),
        (Self::RedisCut, 35),
        (Self::AnswersLost, 33),
        (Self::RedisFull, 5),
        (Self::RedisEmptied, 2),
        (Self::RedisPutBack, 2),
        (Self::NodeWorkerKilled, 160),
        (Self::NodeProducerKilled, 20),
        (Self::ClockStepped, 100),
        (Self::DeadMasterReplaced, 8),
        (Self::LivingMasterReplaced, 4),
    ];

    /// What it is called in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MailerKilled => "mailer killed (SIGKILL)",
            Self::ApiKilled => "API killed (SIGKILL)",
            Self::RedisKilled => "Redis killed (SIGKILL), and started again",
            Self::DatabaseKilled => "PostgreSQL killed (immediate shutdown), and started again",
            Self::MailerFrozen => "mailer frozen for longer than its locks (SIGSTOP)",
            Self::ApiFrozen => "API frozen (SIGSTOP)",
            Self::RedisFrozen => "Redis frozen (SIGSTOP)",
            Self::RedisCut => "connections to Redis cut",
            Self::AnswersLost => "answers of Redis held back, then cut: done, and nobody knows",
            Self::RedisFull => "Redis full (`maxmemory`)",
            Self::RedisEmptied => "Redis emptied (FLUSHALL)",
            Self::RedisPutBack => "Redis killed, its files replaced by a copy 1 to 5 s old, and started again",
            Self::NodeWorkerKilled => "Node worker killed (SIGKILL), and started again some blows later",
            Self::NodeProducerKilled => "Node producer killed (SIGKILL), and started again",
            Self::ClockStepped => {
                "clock of an API or a mailer stepped to at most 2 h ahead or behind, or of Redis to 20 s"
            }
            Self::DeadMasterReplaced => "Redis killed (SIGKILL), and replaced by its replica (Sentinel)",
            Self::LivingMasterReplaced => "Redis replaced by its replica (Sentinel), and going on for some seconds",
        }
    }

    /// Whether a process dies by it.
    pub(crate) const fn is_kill(self) -> bool {
        matches!(
            self,
            Self::MailerKilled
                | Self::ApiKilled
                | Self::RedisKilled
                | Self::DatabaseKilled
                | Self::RedisPutBack
                | Self::DeadMasterReplaced
                | Self::NodeWorkerKilled
                | Self::NodeProducerKilled
        )
    }

    const fn is_of_node(self) -> bool {
        matches!(self, Self::NodeWorkerKilled | Self::NodeProducerKilled)
    }

    const fn is_of_sentinel(self) -> bool {
        matches!(self, Self::DeadMasterReplaced | Self::LivingMasterReplaced)
    }

    /// Whether Redis loses by it what it has answered.
    const fn is_loss(self) -> bool {
        matches!(self, Self::RedisEmptied | Self::RedisPutBack) || self.is_of_sentinel()
    }
}

/// Strikes.
pub(crate) struct Nemesis {
    random: Rng,
    /// How many times as often as usual Redis loses what it has: then it takes a minute until all is queued again.
    losses: u32,
    /// What is struck [`OFTEN`] times as often as usual.
    often: Option<Blow>,
    /// What is to be put back.
    copy: Option<Copy>,
}

impl Nemesis {
    pub(crate) fn new(seed: u64, losses: u32, often: Option<Blow>) -> Self {
        Self { random: Rng::with_seed(seed), losses, often, copy: None }
    }

    /// Waits a moment, and strikes once; returns what it did.
    pub(crate) async fn strike(&mut self, pipeline: &mut Pipeline, log: &mut Log) -> anyhow::Result<Blow> {
        tokio::time::sleep(Duration::from_millis(self.random.u64(5..120))).await;
        let which = self.random.usize(0..2);
        let blow = self.choose(pipeline).await?;
        match blow {
            Blow::MailerKilled => pipeline.kill_mailer(which, log).await?,
            Blow::ApiKilled => pipeline.kill_api(which, log).await?,
            Blow::RedisKilled => {
                pipeline.world.redis.kill().await;
                pipeline.world.redis.restart().await;
            }
            Blow::DatabaseKilled => pipeline.world.database.server().restart().await,
            Blow::MailerFrozen => {
                pipeline.mailers[which].process.freeze();
                tokio::time::sleep(FROZEN).await;
                pipeline.mailers[which].process.thaw();
            }
            Blow::ApiFrozen => {
                pipeline.apis[which].process.freeze();
                tokio::time::sleep(FROZEN / 3).await;
                pipeline.apis[which].process.thaw();
            }
            Blow::RedisFrozen => {
                pipeline.world.redis.process().freeze();
                tokio::time::sleep(FROZEN).await;
                pipeline.world.redis.process().thaw();
            }
            Blow::RedisCut => pipeline.proxy.cut(),
            Blow::AnswersLost => {
                pipeline.proxy.hold();
                tokio::time::sleep(Duration::from_millis(self.random.u64(5..80))).await;
                pipeline.proxy.cut();
                pipeline.proxy.release();
            }
            Blow::RedisFull => {
                pipeline.world.redis.cmd::<String>("CONFIG SET maxmemory 1").await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                pipeline.world.redis.cmd::<String>("CONFIG SET maxmemory 0").await;
            }
            Blow::RedisEmptied => {
                pipeline.world.redis.cmd::<String>("FLUSHALL").await;
                log.emptied();
            }
            Blow::RedisPutBack => {
                let copy = self.copy.take().context("no copy")?;
                log.put_back(copy.put_back(&mut pipeline.world.redis, &pipeline.proxy).await?);
            }
            Blow::NodeWorkerKilled => pipeline.node.as_mut().context("no Node")?.kill_worker().await,
            Blow::DeadMasterReplaced => log.put_back(replace_master(pipeline, true).await?),
            Blow::LivingMasterReplaced => log.put_back(replace_master(pipeline, false).await?),
            Blow::ClockStepped => {
                let owners = [Owner::Api(which), Owner::Mailer(which), Owner::Redis];
                let owner = owners[self.random.usize(0..owners.len())];
                pipeline.starter.clocks.as_ref().context("no clocks")?.set(owner, self.random.i64(-2..=2))?;
            }
            Blow::NodeProducerKilled => pipeline.node.as_mut().context("no Node")?.kill_producer().await,
        }
        Ok(blow)
    }

    /// The next blow. What is to be put back is copied first, and other blows follow until it is due.
    async fn choose(&mut self, pipeline: &mut Pipeline) -> anyhow::Result<Blow> {
        if self.copy.as_ref().is_some_and(Copy::is_due) {
            return Ok(Blow::RedisPutBack);
        }
        let has_database_server = matches!(pipeline.world.database, Database::Postgres(_));
        loop {
            let blow = self.draw(pipeline);
            match blow {
                Blow::NodeWorkerKilled if pipeline.node.as_mut().context("no Node")?.resume().await => {}
                Blow::RedisPutBack if self.copy.is_none() => {
                    let age = Duration::from_millis(self.random.u64(1000..5000));
                    self.copy = Some(Copy::take(&pipeline.world.redis, age).await?);
                }
                Blow::RedisPutBack => {}
                Blow::DatabaseKilled if !has_database_server => {}
                _ => return Ok(blow),
            }
        }
    }

    fn draw(&mut self, pipeline: &Pipeline) -> Blow {
        let (losses, often) = (self.losses, self.often);
        let (has_node, has_sentinel) = (pipeline.node.is_some(), pipeline.standby.is_some());
        let has_clocks = pipeline.starter.clocks.is_some();
        let weight = |(blow, weight): (Blow, u32)| match blow {
            _ if blow.is_of_node() && !has_node => 0,
            _ if blow.is_of_sentinel() && !has_sentinel => 0,
            Blow::ClockStepped if !has_clocks => 0,
            _ if Some(blow) == often => weight * OFTEN,
            _ if blow.is_loss() => weight * losses,
            _ => weight,
        };
        let mut number = self.random.u32(0..Blow::ALL.into_iter().map(weight).sum());
        for choice in Blow::ALL {
            match number.checked_sub(weight(choice)) {
                Some(rest) => number = rest,
                None => return choice.0,
            }
        }
        Blow::MailerKilled // never: the number is below the sum
    }
}

async fn replace_master(pipeline: &mut Pipeline, is_dead: bool) -> anyhow::Result<PutBack> {
    let standby = pipeline.standby.as_mut().context("no Sentinel")?;
    let (master, proxy) = (&mut pipeline.world.redis, &mut pipeline.proxy);
    Ok(if is_dead { standby.replace_dead(master, proxy).await } else { standby.replace_living(master, proxy).await })
}

/// From now on the server defers 3 mails of 100, drops one before it has it, and one after.
pub(crate) fn misbehave(server: &SmtpServer, seed: u64) {
    let random = Mutex::new(Rng::with_seed(seed));
    server.behave(move |phase, _| {
        if phase != Phase::EndOfData {
            return Action::Proceed;
        }
        match random.lock().expect("no session panicked").u32(0..100) {
            0..3 => Action::Reply("452 4.2.2 mailbox full".to_owned()),
            3 => Action::Close,
            4 => Action::KeepAndClose,
            _ => Action::Proceed,
        }
    });
}
