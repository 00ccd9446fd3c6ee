//! The clocks of the processes, which are stepped while they run.

use std::{fs, io::Write, path::PathBuf, time::Duration};

use anyhow::ensure;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::process::Command;

/// Every step of a process that writes a log is as long, or a multiple of it, so that what it wrote tells by how much its
/// clock was wrong.
const STEP: Duration = Duration::from_hours(1);

/// Who has a clock of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    Api(usize),
    Mailer(usize),
    Redis,
}

/// Each is right until it is stepped.
pub(crate) struct Clocks {
    folder: TempDir,
}

impl Clocks {
    /// Compiles what a process has to load.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let clocks = Self { folder: tempfile::tempdir()? };
        fs::write(clocks.path("clock.c"), include_str!("clock.c"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(clocks.path("clock.so")).arg(clocks.path("clock.c"));
        ensure!(compiler.status().await?.success(), "clock.c cannot be compiled");
        for owner in [Owner::Api(0), Owner::Api(1), Owner::Mailer(0), Owner::Mailer(1), Owner::Redis] {
            fs::write(clocks.path(&owner.file()), 0_i64.to_ne_bytes())?;
        }
        Ok(clocks)
    }

    /// The environment of a process that goes by its own.
    pub(crate) fn settings(&self, owner: Owner) -> [(String, String); 2] {
        [("LD_PRELOAD", "clock.so".to_owned()), ("CLOCK_FILE", owner.file())]
            .map(|(name, file)| (name.to_owned(), self.path(&file).display().to_string()))
    }

    /// From now on this one is so many steps ahead, or behind where that is negative: an hour each, of Redis' ten seconds,
    /// for which what is locked there, or put off, waits.
    pub(crate) fn set(&self, owner: Owner, steps: i64) -> anyhow::Result<()> {
        let step = if matches!(owner, Owner::Redis) { 10 } else { i64::try_from(STEP.as_secs())? };
        // Written in its place: the process has mapped the file.
        let mut file = fs::File::options().write(true).open(self.path(&owner.file()))?;
        Ok(file.write_all(&(steps * step).to_ne_bytes())?)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}

impl Owner {
    fn file(self) -> String {
        match self {
            Self::Api(which) => format!("api-{which}"),
            Self::Mailer(which) => format!("mailer-{which}"),
            Self::Redis => "redis".to_owned(),
        }
    }
}

/// When it was really, if a clock that may be steps off says `time`, and that is read soon, at `now`.
pub(crate) fn real(time: OffsetDateTime, now: OffsetDateTime) -> OffsetDateTime {
    let steps = ((time - now).as_seconds_f64() / STEP.as_secs_f64()).round();
    time - time::Duration::seconds_f64(steps * STEP.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_undone() {
        let now = OffsetDateTime::now_utc();
        let written = now - Duration::from_secs(2);
        for steps in [-12, -1, 0, 1, 6] {
            assert_eq!(real(written + time::Duration::hours(steps), now), written);
        }
    }
}
