//! What is used beyond what the processes use that have nothing to do.

use std::time::Duration;

use crate::load_test::system::{System, Usage};

/// For how long it is seen what is used while nothing is done.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) struct Meter<'a> {
    pub(crate) system: &'a System,
    /// What is used in one second in which nothing is done.
    idle: Usage,
}

impl<'a> Meter<'a> {
    /// Looks at a system that has nothing to do.
    pub(crate) async fn of(system: &'a System) -> anyhow::Result<Self> {
        let (began, before) = system.usage().await?;
        tokio::time::sleep(IDLE).await;
        let (ended, after) = system.usage().await?;
        Ok(Self { system, idle: (after - before) * (ended - began).as_secs_f64().recip() })
    }

    /// Does something; returns what came of it, and what it took.
    pub(crate) async fn used<T>(
        &self,
        something: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Usage)> {
        let (began, before) = self.system.usage().await?;
        let done = something.await?;
        let (ended, after) = self.system.usage().await?;
        Ok((done, after - before - self.idle * (ended - began).as_secs_f64()))
    }
}
