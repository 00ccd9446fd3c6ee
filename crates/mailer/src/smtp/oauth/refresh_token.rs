//! A refresh token. Some servers replace it with each access token (RFC 6749, section 6), and may refuse the old one then.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};

/// A refresh token and the file that it came from.
pub(in crate::smtp) struct RefreshToken {
    current: SecretString,
    file: Option<PathBuf>,
    /// Whether a failure to write the file was reported.
    is_reported: bool,
}

impl RefreshToken {
    pub(in crate::smtp) fn new(token: SecretString, file: Option<PathBuf>) -> Self {
        Self { current: token, file, is_reported: false }
    }

    pub(super) fn expose_secret(&self) -> &str {
        self.current.expose_secret()
    }

    /// Reads the file again; returns whether it has another token.
    pub(super) fn reread(&mut self) -> bool {
        let read = self.file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let Some(read) = read.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else { return false };
        let is_new = read != self.expose_secret();
        self.current = SecretString::from(read);
        is_new
    }

    /// Uses the server's new token from now on, and keeps it in the file for the next start.
    pub(super) fn replace(&mut self, new: &str) {
        if new == self.expose_secret() {
            return;
        }
        self.current = SecretString::from(new);
        let Some(file) = &self.file else { return };
        if let Err(error) = write(file, new)
            && !std::mem::replace(&mut self.is_reported, true)
        {
            tracing::warn!(
                %error,
                "The new refresh token cannot be written to its file: after a restart the old one is used"
            );
        }
    }
}

/// Replaces the file in one step, readable as before for its owner alone.
fn write(file: &Path, token: &str) -> io::Result<()> {
    let temporary = file.with_extension(format!("{}.new", std::process::id()));
    let written = write_new(&temporary, token).and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // it may not exist
    }
    written
}

fn write_new(path: &Path, token: &str) -> io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(token.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_token_is_kept_in_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        fs::write(&file, "first\n").expect("written");
        let mut token = RefreshToken::new(SecretString::from("first"), Some(file.clone()));
        assert!(!token.reread());
        token.replace("second");
        assert_eq!((token.expose_secret(), fs::read_to_string(&file).expect("read").as_str()), ("second", "second"));
        fs::write(&file, "third").expect("written");
        assert!(token.reread() && token.expose_secret() == "third");
        fs::remove_file(&file).expect("removed");
        assert!(!token.reread() && token.expose_secret() == "third", "what is known stays");
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 0, "no temporary file is left");
        let mut nowhere = RefreshToken::new(SecretString::from("a"), Some("/nowhere/token".into()));
        nowhere.replace("b");
        assert_eq!(nowhere.expose_secret(), "b");
    }
}
