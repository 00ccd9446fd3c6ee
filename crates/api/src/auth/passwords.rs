//! Passwords: hashed by argon2id (RFC 9106), beside the threads that answer requests.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        Error, generate_salt,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
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
    /// Memory of places that are free. Given back to the allocator instead, it was kept for each of the many threads that
    /// hash now and then: a thousand log-ins left a gigabyte behind.
    rooms: Arc<Mutex<Vec<Vec<Block>>>>,
    /// A hash of no password, checked where an account does not exist, so that the answer takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let places = cores.saturating_sub(1).max(1);
        let nobody = hash("no password has this hash", &mut Vec::new()).map_err(anyhow::Error::msg)?;
        Ok(Self {
            queue: Arc::new(Semaphore::new(WAITING)),
            places: Arc::new(Semaphore::new(places)),
            rooms: Arc::default(),
            nobody: nobody.into(),
        })
    }

    /// The PHC string of a password.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        self.beside(move |room| hash(&password, room)).await?.map_err(|error| Problem::internal(&error))
    }

    /// Whether `password` is the one of `phc`; takes as long, and is false, where there is none.
    pub(crate) async fn verify(&self, password: String, phc: Option<String>) -> Result<bool, Problem> {
        let (nobody, is_somebody) = (Arc::clone(&self.nobody), phc.is_some());
        let matches = self.beside(move |room| verify(&password, phc.as_deref().unwrap_or(&nobody), room)).await?;
        Ok(matches.is_ok() && is_somebody)
    }

    async fn beside<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> R + Send + 'static,
    ) -> Result<R, Problem> {
        let _waiting = self.queue.try_acquire().map_err(|_| {
            metrics::counter!("password_checks_refused_total").increment(1);
            Problem::unavailable("too many people log in at this moment")
        })?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|error| Problem::internal(&error))?;
        let rooms = Arc::clone(&self.rooms);
        let done = tokio::task::spawn_blocking(move || {
            let _place = place; // kept until the work is done, also where the caller has gone
            let free = || rooms.lock().unwrap_or_else(PoisonError::into_inner);
            let mut room = free().pop().unwrap_or_default();
            let done = work(&mut room);
            free().push(room);
            done
        });
        done.await.map_err(|error| Problem::internal(&error))
    }
}

/// The hash's output; `room` grows where it is too small.
fn compute(argon: &Argon2<'_>, password: &str, salt: &Salt, room: &mut Vec<Block>) -> Result<Output, Error> {
    let blocks = argon.params().block_count();
    room.resize(room.len().max(blocks), Block::new());
    let mut bytes = [0; Params::DEFAULT_OUTPUT_LEN];
    argon.hash_password_into_with_memory(password.as_bytes(), salt, &mut bytes, &mut room[..blocks])?;
    Ok(Output::new(&bytes)?)
}

fn hash(password: &str, room: &mut Vec<Block>) -> Result<String, Error> {
    let (argon, salt) = (Argon2::default(), Salt::new(&generate_salt())?);
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon.params())?,
        salt: Some(salt),
        hash: Some(compute(&argon, password, &salt, room)?),
    };
    Ok(hash.to_string())
}

fn verify(password: &str, phc: &str, room: &mut Vec<Block>) -> Result<(), Error> {
    let stored = PasswordHash::new(phc)?;
    let version = stored.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let argon = Argon2::new(Algorithm::try_from(stored.algorithm.as_str())?, version, Params::try_from(&stored)?);
    let salt = stored.salt.ok_or(Error::SaltInvalid)?;
    // Outputs are compared in constant time.
    let matches = stored.hash == Some(compute(&argon, password, &salt, room)?);
    if matches { Ok(()) } else { Err(Error::PasswordInvalid) }
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher, PasswordVerifier};

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

    #[test]
    fn hashes_are_those_that_others_make_and_check() {
        let mut room = Vec::new();
        let ours = hash("correct horse", &mut room).expect("hashed");
        assert!(Argon2::default().verify_password(b"correct horse", ours.as_str()).is_ok());
        // One with less memory, as settings of another time may have made it: the room is larger than it needs.
        let params = Params::new(2048, 3, 2, None).expect("parameters");
        let theirs = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(b"battery staple");
        let theirs = theirs.expect("hashed").to_string();
        assert_eq!(verify("battery staple", &theirs, &mut room), Ok(()));
        assert_eq!(verify("correct horse", &theirs, &mut room), Err(Error::PasswordInvalid));
        assert_eq!(verify("correct horse", &ours, &mut Vec::new()), Ok(()));
    }
}
