//! The clock of the mailers, which is stepped while they run.

use std::{fs, io::Write, path::PathBuf, time::Duration};

use anyhow::ensure;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::process::Command;

/// Every step is as long, or a multiple of it, so that what a mailer wrote tells by how much its clock was wrong.
const STEP: Duration = Duration::from_hours(1);

/// It is right until it is stepped.
pub(crate) struct Clock {
    folder: TempDir,
}

impl Clock {
    /// Compiles what a mailer has to load.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let clock = Self { folder: tempfile::tempdir()? };
        fs::write(clock.path("clock.c"), include_str!("clock.c"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(clock.path("clock.so")).arg(clock.path("clock.c"));
        ensure!(compiler.status().await?.success(), "clock.c cannot be compiled");
        fs::write(clock.path("clock"), 0_i64.to_ne_bytes())?;
        Ok(clock)
    }

    /// The environment of a mailer that goes by it.
    pub(crate) fn settings(&self) -> [(String, String); 2] {
        [("LD_PRELOAD", "clock.so"), ("CLOCK_FILE", "clock")]
            .map(|(name, file)| (name.to_owned(), self.path(file).display().to_string()))
    }

    /// From now on it is so many steps ahead, or behind where that is negative.
    pub(crate) fn set(&self, steps: i64) -> anyhow::Result<()> {
        let seconds = steps * i64::try_from(STEP.as_secs())?;
        // Written in its place: the mailers have mapped the file.
        Ok(fs::File::options().write(true).open(self.path("clock"))?.write_all(&seconds.to_ne_bytes())?)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
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
