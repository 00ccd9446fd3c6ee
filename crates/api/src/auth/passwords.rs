//! Passwords: hashed by argon2id (RFC 9106), beside the threads that answer requests.

use std::sync::Arc;

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::http::problem::Problem;

/// Most that may wait for their turn: at some 30 ms each, more would wait longer than anybody does.
const WAITING: usize = 1000;

/// Hashes and checks passwords, a bounded number at once: each takes 19 MiB and some 30 ms of a core. One core is left
/// to those who read while thousands log in.
#[derive(Clone)]
pub(crate) struct Passwords {
    queue: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// A hash of no password, checked where an account does not exist, so that the answer takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let places = cores.saturating_sub(1).max(1);
        let nobody = hash("no password has this hash").map_err(anyhow::Error::msg)?;
        Ok(Self {
            queue: Arc::new(Semaphore::new(WAITING)),
            places: Arc::new(Semaphore::new(places)),
            nobody: nobody.into(),
        })
    }

    /// The PHC string of a password.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        self.beside(move || hash(&password)).await?.map_err(|error| Problem::internal(&error))
    }

    /// Whether `password` is the one of `phc`; takes as long, and is false, where there is none.
    pub(crate) async fn verify(&self, password: String, phc: Option<String>) -> Result<bool, Problem> {
        let (nobody, is_somebody) = (Arc::clone(&self.nobody), phc.is_some());
        let matches = self
            .beside(move || Argon2::default().verify_password(password.as_bytes(), phc.as_deref().unwrap_or(&nobody)))
            .await?
            .is_ok();
        Ok(matches && is_somebody)
    }

    async fn beside<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R, Problem> {
        let _waiting = self.queue.try_acquire().map_err(|_| {
            metrics::counter!("password_checks_refused_total").increment(1);
            Problem::unavailable("too many people log in at this moment")
        })?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|error| Problem::internal(&error))?;
        let done = tokio::task::spawn_blocking(move || {
            let _place = place; // kept until the work is done, also where the caller has gone
            work()
        });
        done.await.map_err(|error| Problem::internal(&error))
    }
}

fn hash(password: &str) -> Result<String, String> {
    Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_and_no_other() {
        let passwords = Passwords::new().expect("hashes");
        let phc = passwords.hash("correct horse".into()).await.expect("hashed");
        assert!(phc.starts_with("$argon2id$"));
        assert!(passwords.verify("correct horse".into(), Some(phc.clone())).await.expect("checked"));
        assert!(!passwords.verify("battery staple".into(), Some(phc)).await.expect("checked"));
        assert!(!passwords.verify("no password has this hash".into(), None).await.expect("checked"));
    }
}
