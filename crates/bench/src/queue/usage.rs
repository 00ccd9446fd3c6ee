//! What Redis has been asked and has spent.

use std::ops::Sub;

use anyhow::Context;
use examhall_testkit::Redis;

/// Totals since the server started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    /// Commands, those inside scripts too.
    pub(crate) commands: f64,
    /// Processor time in µs.
    pub(crate) cpu_us: f64,
}

impl Usage {
    pub(crate) async fn of(redis: &Redis) -> anyhow::Result<Self> {
        let (cpu, stats) = (redis.cmd::<String>("INFO cpu").await, redis.cmd::<String>("INFO commandstats").await);
        Self::read(&cpu, &stats)
    }

    fn read(cpu: &str, stats: &str) -> anyhow::Result<Self> {
        let seconds = |name: &str| {
            let value = cpu.lines().find_map(|line| line.strip_prefix(name)).context("INFO cpu has changed")?;
            Ok::<_, anyhow::Error>(value.trim().parse::<f64>()?)
        };
        let calls =
            stats.lines().filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<f64>().ok());
        let cpu_us = (seconds("used_cpu_user:")? + seconds("used_cpu_sys:")?) * 1e6;
        Ok(Self { commands: calls.sum(), cpu_us })
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { commands: self.commands - before.commands, cpu_us: self.cpu_us - before.cpu_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_from_what_info_says() {
        let cpu = "# CPU\r\nused_cpu_sys:0.500000\r\nused_cpu_user:1.250000\r\nused_cpu_sys_children:9.0\r\n";
        let stats = "# Commandstats\r\ncmdstat_get:calls=3,usec=9,usec_per_call=3.00\r\ncmdstat_set:calls=4,usec=9\r\n";
        let usage = Usage::read(cpu, stats).expect("both sections");
        assert_eq!(usage, Usage { commands: 7.0, cpu_us: 1_750_000.0 });
    }
}
