//! Mails as files, for development.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Delivered, Undelivered};
use crate::{
    message::Prepared,
    verdict::{Trouble, Verdict},
};

/// A folder that takes each mail as `<job id>.eml`.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn name(&self) -> String {
        format!("file:{}", self.path.display())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether mails can be written.
    pub(crate) async fn check(&self) -> io::Result<()> {
        let trial = self.path.join(".writable");
        tokio::fs::create_dir_all(&self.path).await?;
        tokio::fs::write(&trial, b"").await?;
        tokio::fs::remove_file(&trial).await
    }

    /// Writes the mail: whole or not at all, and once however often it is done.
    pub(super) async fn deliver(&self, job_id: &str, mail: &Prepared) -> Result<Delivered, Undelivered> {
        let name = job_id.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
        let file = self.path.join(format!("{name}.eml"));
        write(&self.path, &file, &mail.bytes).await.map_err(|error| Undelivered {
            verdict: Verdict::Provider(Trouble::Passing),
            reason: format!("{}: {error}", file.display()),
            label: error.to_string(),
            rejected: Vec::new(),
        })?;
        Ok(Delivered {
            response: format!("written to {}", file.display()),
            accepted: mail.to.iter().map(ToString::to_string).collect(),
            rejected: Vec::new(),
            provider: self.name(),
        })
    }
}

async fn write(folder: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let unfinished = file.with_extension("eml.unfinished");
    tokio::fs::write(&unfinished, bytes).await?;
    tokio::fs::rename(&unfinished, file).await
}
