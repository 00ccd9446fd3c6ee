//! Mails as files, for development.

use std::{
    io,
    path::{Path, PathBuf},
};

use examhall_delivery::FailureSignature;
use tokio::{
    fs::{DirBuilder, OpenOptions},
    io::AsyncWriteExt,
};

use super::{
    delivery::{Delivered, DeliveryError},
    provider_failure::ProviderFailure,
    retry_policy::FailureClass,
};
use crate::message::PreparedMail;

/// A folder that stores each mail as `<job id>.eml`.
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

    /// Writes the mail atomically and idempotently.
    pub(super) async fn deliver(&self, job_id: &str, mail: &PreparedMail) -> Result<Delivered, DeliveryError> {
        let name = job_id.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
        let file = self.path.join(format!("{name}.eml"));
        write(&self.path, &file, &mail.bytes).await.map_err(|error| DeliveryError {
            class: FailureClass::Provider(ProviderFailure::Unavailable),
            reason: format!("{}: {error}", file.display()),
            label: error.to_string(),
            signature: Box::new(FailureSignature::of_reason(&error.to_string())),
            rejected: Vec::new(),
            provider: self.name().into(),
            is_providers: true,
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
    make_folder(folder).await?;
    let unfinished = file.with_extension("eml.unfinished");
    // A leftover file may be readable by others; the new one is not, regardless of the umask.
    match tokio::fs::remove_file(&unfinished).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).await?;
    made.write_all(bytes).await?;
    made.flush().await?;
    tokio::fs::rename(&unfinished, file).await
}

async fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).await
}
