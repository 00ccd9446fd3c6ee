//! The key that signs tokens: given, or generated once in development.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path};

use secrecy::SecretString;

use super::{AppEnv, SettingsError, Values};

/// Least length of the key.
const MIN_BYTES: usize = 32;

pub(super) fn auth_secret(values: &Values, env: AppEnv) -> Result<SecretString, SettingsError> {
    match values.get("AUTH_SECRET") {
        Some(given) if given.len() >= MIN_BYTES => Ok(SecretString::from(given)),
        Some(_) => Err(values.malformed("AUTH_SECRET", "at least 32 bytes, for example from `openssl rand -hex 32`")),
        None if env == AppEnv::Development => development_secret(Path::new("data/auth-secret")),
        None => Err(SettingsError::Contradiction(
            "AUTH_SECRET is not set, but APP_ENV is production: set AUTH_SECRET_FILE to a file with at least 32 random \
             bytes, for example from `openssl rand -hex 32`"
                .to_owned(),
        )),
    }
}

/// Reads the secret at `path`. Generates one, readable only by its owner, if there is none.
fn development_secret(path: &Path) -> Result<SecretString, SettingsError> {
    let failed = |source| SettingsError::File { what: "AUTH_SECRET".to_owned(), path: path.to_owned(), source };
    if !path.exists() {
        let folder = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?; // mode 0600
        std::fs::write(file.path(), random_hex()).map_err(failed)?;
        // If another process was first, its secret is read below.
        if let Err(error) = file.persist_noclobber(path).map_err(|error| error.error)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(failed(error));
        }
    }
    let kept = std::fs::read_to_string(path).map_err(failed)?;
    if kept.trim().len() < MIN_BYTES {
        return Err(SettingsError::Contradiction(format!(
            "{} holds fewer than {MIN_BYTES} bytes, too few for AUTH_SECRET: delete it, and the next start makes a new one \
             (everybody logs in again), or set AUTH_SECRET",
            path.display()
        )));
    }
    Ok(SecretString::from(kept))
}

fn random_hex() -> String {
    use ring::rand::SecureRandom;
    let mut bytes = [0; 32];
    ring::rand::SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
    hex::encode(bytes)
}
