//! The keys that sign tokens and seal mails: given, or one that is generated once in development.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path};

use secrecy::{ExposeSecret, SecretString};

use super::{AppEnv, Purpose, SettingsError, Values};

/// Least length of a key.
const MIN_BYTES: usize = 32;

/// `AUTH_SECRET`: the key in use, and those that it replaces. All verify and open; only the first signs and seals.
#[derive(Clone, Debug)]
pub struct AuthSecrets {
    signing: SecretString,
    former: Vec<SecretString>,
}

impl AuthSecrets {
    /// Parses a list, separated by commas; `None` if an item is too short.
    fn parse(list: &str) -> Option<Self> {
        let mut secrets = list.split(',').map(|item| SecretString::from(item.trim()));
        let secrets = Self { signing: secrets.next()?, former: secrets.collect() };
        let are_long = secrets.all().all(|secret| secret.expose_secret().len() >= MIN_BYTES);
        are_long.then_some(secrets)
    }

    /// Returns the key that signs and seals.
    pub fn signing(&self) -> &SecretString {
        &self.signing
    }

    /// Returns all keys that verify and open, beginning with the one that signs.
    pub fn all(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.signing).chain(&self.former)
    }
}

impl From<SecretString> for AuthSecrets {
    fn from(signing: SecretString) -> Self {
        Self { signing, former: Vec::new() }
    }
}

pub(super) fn auth_secrets(values: &Values, env: AppEnv, purpose: Purpose) -> Result<AuthSecrets, SettingsError> {
    match values.get("AUTH_SECRET") {
        Some(given) => AuthSecrets::parse(given).ok_or_else(|| {
            let expected = "at least 32 bytes, for example from `openssl rand -hex 32`, or several of these, comma-separated";
            values.malformed("AUTH_SECRET", expected)
        }),
        None if purpose == Purpose::Check => Ok(SecretString::from(random_hex()).into()),
        None if env == AppEnv::Development => development_secret(Path::new("data/auth-secret")).map(AuthSecrets::from),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_signs_and_all_verify() {
        let (new, old) = ("n".repeat(32), "o".repeat(32));
        let secrets = AuthSecrets::parse(&format!("{new}, {old}\n")).expect("two keys");
        assert_eq!(secrets.signing().expose_secret(), new);
        assert_eq!(secrets.all().map(ExposeSecret::expose_secret).collect::<Vec<_>>(), [&new, &old]);
        for bad in ["", "short", &format!("{new},"), &format!("{new},short"), &format!(",{old}")] {
            assert!(AuthSecrets::parse(bad).is_none(), "{bad:?}");
        }
    }
}
