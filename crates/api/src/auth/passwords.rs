//! Passwords: hashed by argon2id (RFC 9106), on other threads than those that answer requests.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        Error, generate_salt,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
use examhall_core::prepared_password;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::SecretToken;
use crate::http::{client::network, problem::Problem};

/// Most that may wait for their turn: at some 30 ms each, more would wait longer than anybody does.
const WAITING: usize = 1000;
/// Passwords of one client that stand in line with those of others. More wait for these: so a client who sends a
/// thousand keeps the others waiting for a few.
const IN_LINE: usize = 4;
/// Lines of clients. Two may share one by chance; which ones, nobody can know.
const LINES: usize = 1024;

/// Hashes and checks passwords, a bounded number at once: each takes 19 MiB and some 30 ms of a core. One core is left
/// to those who read while thousands log in.
#[derive(Clone)]
pub(crate) struct Passwords {
    lines: Arc<[Line]>,
    which_line: RandomState,
    queue: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// Memory of places that are free. Given back to the allocator instead, it was kept for each of the many threads that
    /// hash now and then: a thousand logins left a gigabyte behind.
    buffers: Arc<Mutex<Vec<Vec<Block>>>>,
    /// A hash of a password that nobody knows, checked where an account does not exist, so that the answer takes as long.
    nobody: Arc<str>,
}

/// Where the passwords of one client wait.
struct Line {
    waiting: Semaphore,
    in_line: Semaphore,
}

impl Passwords {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let places = cores.saturating_sub(1).max(1);
        let nobody = hash(SecretToken::random().as_str(), &mut Vec::new()).map_err(anyhow::Error::msg)?;
        let line = || Line { waiting: Semaphore::new(WAITING), in_line: Semaphore::new(places.max(IN_LINE)) };
        Ok(Self {
            lines: (0..LINES).map(|_| line()).collect(),
            which_line: RandomState::new(),
            queue: Arc::new(Semaphore::new(WAITING)),
            places: Arc::new(Semaphore::new(places)),
            buffers: Arc::default(),
            nobody: nobody.into(),
        })
    }

    /// The PHC string of a password that `client` has sent, as [`prepared_password`] has it.
    pub(crate) async fn hash(&self, client: IpAddr, password: String) -> Result<String, Problem> {
        let password = prepared_password(&password);
        self.on_a_thread(client, move |buffer| hash(&password, buffer))
            .await?
            .map_err(|error| Problem::internal(&error))
    }

    /// Whether `password`, which `client` has sent, is the one of `phc`; takes as long, and is false, where there is none.
    /// Hashes of the time before passwords were prepared are of the password as it was typed: where preparing changes
    /// it, both forms are tried.
    pub(crate) async fn verify(&self, client: IpAddr, password: String, phc: Option<String>) -> Result<bool, Problem> {
        let (nobody, is_somebody) = (Arc::clone(&self.nobody), phc.is_some());
        let matches = self.on_a_thread(client, move |buffer| {
            let (prepared, phc) = (prepared_password(&password), phc.as_deref().unwrap_or(&nobody));
            let first = verify(&prepared, phc, buffer);
            if first.is_err() && prepared != password { verify(&password, phc, buffer) } else { first }
        });
        let matches = matches.await?;
        Ok(matches.is_ok() && is_somebody)
    }

    /// The PHC string of a password that nobody knows.
    pub(crate) fn unusable(&self) -> &str {
        &self.nobody
    }

    fn line(&self, client: IpAddr) -> &Line {
        let at = usize::try_from(self.which_line.hash_one(network(client)) % LINES as u64).unwrap_or(0);
        &self.lines[at]
    }

    async fn on_a_thread<R: Send + 'static>(
        &self,
        client: IpAddr,
        work: impl FnOnce(&mut Vec<Block>) -> R + Send + 'static,
    ) -> Result<R, Problem> {
        let line = self.line(client);
        let _waiting = wait_in(&line.waiting)?;
        let _in_line = line.in_line.acquire().await.map_err(|error| Problem::internal(&error))?;
        let _queued = wait_in(&self.queue)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|error| Problem::internal(&error))?;
        let buffers = Arc::clone(&self.buffers);
        let done = tokio::task::spawn_blocking(move || {
            let _place = place; // kept until the work is done, also where the caller has gone
            let free = || buffers.lock();
            let mut buffer = free().pop().unwrap_or_default();
            let done = work(&mut buffer);
            free().push(buffer);
            done
        });
        done.await.map_err(|error| Problem::internal(&error))
    }
}

/// A place among those who wait, if there is one.
fn wait_in(waiting: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    waiting.try_acquire().map_err(|_| {
        metrics::counter!("password_checks_refused_total").increment(1);
        Problem::unavailable("too many people log in at this moment")
    })
}

/// The hash's output; `buffer` grows where it is too small.
fn compute(argon: &Argon2<'_>, password: &str, salt: &Salt, buffer: &mut Vec<Block>) -> Result<Output, Error> {
    let blocks = argon.params().block_count();
    buffer.resize(buffer.len().max(blocks), Block::new());
    let mut bytes = [0; Params::DEFAULT_OUTPUT_LEN];
    argon.hash_password_into_with_memory(password.as_bytes(), salt, &mut bytes, &mut buffer[..blocks])?;
    Ok(Output::new(&bytes)?)
}

fn hash(password: &str, buffer: &mut Vec<Block>) -> Result<String, Error> {
    let (argon, salt) = (Argon2::default(), Salt::new(&generate_salt())?);
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon.params())?,
        salt: Some(salt),
        hash: Some(compute(&argon, password, &salt, buffer)?),
    };
    Ok(hash.to_string())
}

fn verify(password: &str, phc: &str, buffer: &mut Vec<Block>) -> Result<(), Error> {
    let stored = PasswordHash::new(phc)?;
    let version = stored.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let argon = Argon2::new(Algorithm::try_from(stored.algorithm.as_str())?, version, Params::try_from(&stored)?);
    let salt = stored.salt.ok_or(Error::SaltInvalid)?;
    // Outputs are compared in constant time.
    let matches = stored.hash == Some(compute(&argon, password, &salt, buffer)?);
    if matches { Ok(()) } else { Err(Error::PasswordInvalid) }
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher, PasswordVerifier};

    use super::*;

    const ANN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn passwords_match_in_either_unicode_form() {
        let passwords = Passwords::new().expect("hashes");
        let (composed, apart) = ("résumé of Ann", "re\u{301}sume\u{301} of\u{a0}Ann");
        let verify = async |phc: &str, typed: &str| {
            passwords.verify(ANN, typed.to_owned(), Some(phc.to_owned())).await.expect("verified")
        };
        for set in [composed, apart] {
            let phc = passwords.hash(ANN, set.to_owned()).await.expect("hashed");
            assert!(verify(&phc, composed).await && verify(&phc, apart).await, "{set:?}");
            assert!(!verify(&phc, "resume of Ann").await);
        }
        // Hashed before passwords were prepared.
        let old = Argon2::default().hash_password(apart.as_bytes()).expect("hashed").to_string();
        assert!(verify(&old, apart).await, "typed as it was set");
        assert!(!verify(&old, "re\u{301}sume\u{301} of Bob").await);
    }

    #[tokio::test]
    async fn a_client_with_many_passwords_delays_others_for_a_few() {
        let passwords = Passwords::new().expect("hashes");
        let is_ann = |client| std::ptr::eq(passwords.line(client), passwords.line(ANN));
        let others = (1..255).map(|n| IpAddr::from([192, 0, 2, n]));
        let bob = others.into_iter().find(|client| !is_ann(*client)).expect("a thousand lines");
        let of_ann: Vec<_> = (0..100)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.hash(ANN, "correct horse".into()).await.expect("hashed") })
            })
            .collect();
        tokio::task::yield_now().await; // all of them are in flight
        passwords.hash(bob, "battery staple".into()).await.expect("hashed");
        let before_bob = of_ann.iter().filter(|one| one.is_finished()).count();
        assert!(before_bob < 50, "{before_bob}");
        for one in of_ann {
            one.await.expect("no panic");
        }
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_and_no_other() {
        let passwords = Passwords::new().expect("hashes");
        let phc = passwords.hash(ANN, "correct horse".into()).await.expect("hashed");
        assert!(phc.starts_with("$argon2id$"));
        assert!(passwords.verify(ANN, "correct horse".into(), Some(phc.clone())).await.expect("checked"));
        assert!(!passwords.verify(ANN, "battery staple".into(), Some(phc)).await.expect("checked"));
        assert!(!passwords.verify(ANN, "no password has this hash".into(), None).await.expect("checked"));
    }

    #[test]
    fn hashes_are_those_that_others_make_and_check() {
        let mut buffer = Vec::new();
        let ours = hash("correct horse", &mut buffer).expect("hashed");
        assert!(Argon2::default().verify_password(b"correct horse", ours.as_str()).is_ok());
        // One with less memory, as settings of another time may have made it: the buffer is larger than it needs.
        let params = Params::new(2048, 3, 2, None).expect("parameters");
        let theirs = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(b"battery staple");
        let theirs = theirs.expect("hashed").to_string();
        assert_eq!(verify("battery staple", &theirs, &mut buffer), Ok(()));
        assert_eq!(verify("correct horse", &theirs, &mut buffer), Err(Error::PasswordInvalid));
        assert_eq!(verify("correct horse", &ours, &mut Vec::new()), Ok(()));
    }
}
