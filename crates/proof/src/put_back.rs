//! Redis is put back to an earlier state of its own, as an operator does who restores a backup.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use examhall_testkit::{Proxy, Redis};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::time::Instant;

/// Redis went back to what it held at a moment between `from` and `to`. From `at` on it is there again. Until `until` there
/// may be a second one, which goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutBack {
    pub(crate) from: OffsetDateTime,
    pub(crate) to: OffsetDateTime,
    pub(crate) at: OffsetDateTime,
    pub(crate) until: OffsetDateTime,
}

impl PutBack {
    /// What was being sent when Redis went back is accepted so much later at most.
    const UNDERWAY: Duration = Duration::from_secs(10);

    /// Whether Redis may have forgotten by it that a mail was sent.
    pub(crate) fn explains(&self, first: OffsetDateTime, second: OffsetDateTime) -> bool {
        self.from <= first && first <= self.until + Self::UNDERWAY && self.at <= second
    }

    /// Whether there were two at once while a mail was in flight, which the model does not know.
    pub(crate) fn has_two(&self, asked: OffsetDateTime, last: OffsetDateTime) -> bool {
        self.at < self.until && self.from <= last && asked <= self.until + Self::UNDERWAY
    }
}

/// A copy of Redis' files.
pub(crate) struct Copy {
    folder: TempDir,
    from: OffsetDateTime,
    to: OffsetDateTime,
    due: Instant,
}

impl Copy {
    /// Takes it while Redis works, as docs/redis.md says; it is to be put back after `age`.
    pub(crate) async fn take(redis: &Redis, age: Duration) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        redis.cmd::<String>("CONFIG SET auto-aof-rewrite-percentage 0").await;
        let from = OffsetDateTime::now_utc();
        copy(redis.folder(), folder.path())?;
        let to = OffsetDateTime::now_utc();
        redis.cmd::<String>("CONFIG SET auto-aof-rewrite-percentage 100").await;
        Ok(Self { folder, from, to, due: Instant::now() + age })
    }

    /// Whether it is old enough.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// Ends Redis, puts the copy in the place of its files, and starts it again.
    pub(crate) async fn put_back(self, redis: &mut Redis, proxy: &Proxy) -> anyhow::Result<PutBack> {
        // Nobody reaches it before the moment is noted: what is written before and after it must not be mixed up.
        proxy.sever();
        redis.kill().await;
        for entry in files(redis.folder())? {
            if entry.is_dir() { fs::remove_dir_all(entry)? } else { fs::remove_file(entry)? }
        }
        copy(self.folder.path(), redis.folder())?;
        redis.restart().await;
        let at = OffsetDateTime::now_utc();
        proxy.accept();
        Ok(PutBack { from: self.from, to: self.to, at, until: at })
    }
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// Copies what is in a folder into another one.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for file in files(from)? {
        let target = to.join(file.file_name().unwrap_or_default());
        if file.is_dir() {
            fs::create_dir(&target)?;
            copy(&file, &target)?;
        } else {
            fs::copy(&file, &target)?;
        }
    }
    Ok(())
}
