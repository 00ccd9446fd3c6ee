//! One connection to Redis, which reconnects forever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fred::{
    clients::Client,
    interfaces::{ClientLike, EventInterface},
    types::{ClientState, config::Config},
};
use parking_lot::Mutex;

use crate::{ConnectionOptions, Error, login::Login, owner::Owner, route::Route};

/// Longest time for which a connection that was just made can be missed.
const READY_POLL: Duration = Duration::from_millis(20);

/// Beginnings of URLs, each with the feature that it needs.
const SCHEMES: [(&str, bool); 10] = [
    ("redis", true),
    ("valkey", true),
    ("rediss", cfg!(feature = "tls")),
    ("valkeys", cfg!(feature = "tls")),
    ("redis-sentinel", true),
    ("rediss-sentinel", cfg!(feature = "tls")),
    ("redis-cluster", true),
    ("rediss-cluster", cfg!(feature = "tls")),
    ("redis+unix", cfg!(feature = "unix-sockets")),
    ("valkey+unix", cfg!(feature = "unix-sockets")),
];

/// A connection to Redis: one server, TLS, a unix socket, Sentinel or Cluster. Cheap to clone; clones share it, and it is
/// closed when the last one is dropped.
///
/// While Redis is away every call fails at once: nothing waits in a buffer to be written later. No command is ever
/// written twice.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(crate) client: Client,
    link: Arc<Link>,
    pub(crate) options: ConnectionOptions,
    login: Option<Arc<Login>>,
    /// None for a client of the caller's own.
    _owner: Option<Arc<Owner>>,
}

/// What is known of the link to the server.
#[derive(Debug, Default)]
struct Link {
    /// How often it was made.
    made: AtomicU64,
    /// When it was made last.
    since: Mutex<Option<Instant>>,
    /// When the server answered last.
    answered: Mutex<Option<Instant>>,
    /// When the first command was sent that has timed out since the last answer.
    silent_since: Mutex<Option<Instant>>,
    /// The server's number for it, and for which making of it that was asked.
    id: Mutex<(u64, u64)>,
}

impl Connection {
    /// Starts connecting, and reconnects from then on forever. Returns before it is connected: see
    /// [`ready`](Self::ready).
    ///
    /// # Errors
    /// Returns an error for which [`Error::is_bad_url`] is true if `url` has none of the forms `redis://`, `rediss://`
    /// (TLS), `redis-sentinel://`, `redis-cluster://`, `redis+unix://` (`valkey` may replace `redis`), or needs a feature of
    /// this crate that is not enabled.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime: the connection is made by a task.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::open_with(url, ConnectionOptions::default())
    }

    /// As [`open`](Self::open), with other time limits.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    ///
    /// # Panics
    /// As of [`open`](Self::open).
    pub fn open_with(url: &str, options: ConnectionOptions) -> Result<Self, Error> {
        Self::from_config(Self::config(url)?, options)
    }

    pub(crate) fn config(url: &str) -> Result<Config, Error> {
        // fred takes every other scheme for plain Redis.
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        match SCHEMES.iter().find(|(known, _)| *known == scheme) {
            Some((_, true)) => {}
            Some((_, false)) => {
                return Err(Error::bad_url(format!("{scheme}:// needs a feature that this program is built without")));
            }
            None => {
                let known = SCHEMES.map(|(known, _)| known).join("://, ");
                return Err(Error::bad_url(format!("it must begin with one of {known}://")));
            }
        }
        Config::from_url(url).map_err(|error| Error::bad_url(error.details()))
    }

    /// As [`open_with`](Self::open_with), with a fred configuration of the caller's own: its servers, TLS and login are
    /// used, its protocol version and time limits are not. A credential provider of its own is asked for each login.
    ///
    /// # Errors
    /// Returns an error for which [`Error::is_bad_url`] is true if fred cannot use the configuration.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub fn from_config(mut config: Config, options: ConnectionOptions) -> Result<Self, Error> {
        let login = Login::of(&mut config);
        let client = options.build(config).map_err(|error| Error::bad_url(error.details()))?;
        Ok(Self::connect(client, options, login))
    }

    /// A second connection to the same server with the same settings: for blocking commands, which occupy a connection.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::connect(self.client.clone_new(), self.options, self.login.clone())
    }

    /// From now on this connection and its duplicates log in with the user and password of another URL when they are made
    /// again, such as a new password; what is connected stays so. The rest of the URL is not used.
    ///
    /// # Errors
    /// Returns an error for which [`Error::is_bad_url`] is true if the URL is none, or this connection leads through
    /// Sentinel, or is that of a client or of a credential provider of the caller's own.
    pub fn use_login(&self, url: &str) -> Result<(), Error> {
        let config = Self::config(url)?;
        let login = self.login.as_ref().ok_or_else(|| Error::bad_url("its login cannot be replaced"))?;
        login.replace(&config);
        Ok(())
    }

    fn connect(client: Client, options: ConnectionOptions, login: Option<Arc<Login>>) -> Self {
        client.on_error(|(error, _)| async move {
            tracing::debug!(%error, "Redis connection lost");
            Ok(())
        });
        let connection = Self::around(client.clone(), options);
        let task = client.connect().abort_handle();
        Self { login, _owner: Some(Arc::new(Owner { client, task })), ..connection }
    }

    /// Shares a fred client of the caller's own, who connects it. It must speak RESP3 for
    /// [`track`](Self::track), and must not write a command twice (`max_command_attempts: 1`).
    pub fn from_client(client: Client) -> Self {
        let connection = Self::around(client, ConnectionOptions::default());
        if connection.is_connected() {
            connection.link.note();
        }
        connection
    }

    fn around(client: Client, options: ConnectionOptions) -> Self {
        let link = Arc::new(Link::default());
        let made = Arc::clone(&link);
        client.on_reconnect(move |_| {
            made.note();
            std::future::ready(Ok(()))
        });
        Self { client, link, options, login: None, _owner: None }
    }

    /// Waits until Redis is connected, for as long as that takes.
    ///
    /// # Errors
    /// Returns an error if the connection was closed meanwhile.
    pub async fn ready(&self) -> Result<(), Error> {
        while !self.is_connected() {
            // fred looks at its state and then subscribes: it misses a connection that is made in between, and would wait
            // for the next one, perhaps forever.
            if let Ok(answer) = tokio::time::timeout(READY_POLL, self.client.wait_for_connect()).await {
                answer.map_err(Error::of)?;
            }
        }
        Ok(())
    }

    /// Connects once more, with the same login, and disconnects: reports a wrong user, password or certificate, which
    /// [`ready`](Self::ready) would wait out.
    ///
    /// # Errors
    /// Returns what went wrong, after 3 s at most for each step.
    pub async fn check_login(&self) -> Result<(), Error> {
        // A task of its own closes the connection also if the caller waits no longer.
        let login = tokio::spawn(ConnectionOptions::login(self.client.client_config()));
        login.await.map_err(|_| Error::of(fred::error::Error::new_canceled()))?.map_err(Error::of)
    }

    /// Sends a `PING`.
    ///
    /// # Errors
    /// Returns an error if there is no answer within the time limit of commands.
    pub async fn ping(&self) -> Result<(), Error> {
        self.command("PING", Route::Any, vec![]).await
    }

    /// The server's clock (`TIME`), in ms since 1970.
    ///
    /// # Errors
    /// Returns an error if Redis refuses or does not answer.
    pub async fn time(&self, route: Route<'_>) -> Result<i64, Error> {
        let (seconds, micros): (i64, i64) = self.command("TIME", route, vec![]).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// Closes the connection, for all clones.
    pub async fn close(&self) {
        if let Err(error) = self.client.quit().await {
            tracing::debug!(%error, "Redis connection was gone before it was closed");
        }
    }

    /// Drops the connection and makes a new one, to whatever server the URL leads to now.
    pub async fn reconnect(&self) {
        if let Err(error) = self.client.force_reconnection().await {
            tracing::debug!(%error, "no new connection to Redis was begun");
        }
    }

    /// Returns whether there is a connection now, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.client.state() == ClientState::Connected
    }

    /// Returns whether it leads to a Redis Cluster.
    pub fn is_clustered(&self) -> bool {
        self.client.client_config().server.is_clustered()
    }

    /// Returns whether the server has answered any call within the last `span`.
    pub fn answered_within(&self, span: Duration) -> bool {
        let last = *self.link.answered.lock();
        last.is_some_and(|moment| moment.elapsed() <= span)
    }

    /// How often the link has been made: it changes with each reconnect.
    pub fn times_made(&self) -> u64 {
        self.link.made.load(Ordering::Acquire)
    }

    /// How long the link has been up without interruption; zero while it is down.
    pub fn up_for(&self) -> Duration {
        let since = *self.link.since.lock();
        since.filter(|_| self.client.is_connected()).map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The number that the server at `route` gave this connection (`CLIENT ID`); asked once for each link.
    ///
    /// # Errors
    /// Returns an error if Redis refuses or does not answer.
    pub async fn client_id(&self, route: Route<'_>) -> Result<u64, Error> {
        let made = self.times_made();
        let (known, asked_for) = *self.link.id.lock();
        if known > 0 && asked_for == made {
            return Ok(known);
        }
        let id: u64 = self.command("CLIENT", route, vec!["ID".into()]).await?;
        *self.link.id.lock() = (id, made);
        Ok(id)
    }

    /// Notes whether the server has answered a command that was sent at this time. Replaces a link that has been silent for
    /// too long: fred would wait until nothing more is sent over it.
    pub(crate) fn note<T>(&self, sent: Instant, answer: Result<T, fred::error::Error>) -> Result<T, Error> {
        let answer = answer.map_err(Error::of);
        match &answer {
            Err(error) if error.is_timeout() => {
                if self.link.silence(sent) > self.options.unresponsive_after {
                    *self.link.silent_since.lock() = None; // once
                    let client = self.client.clone();
                    drop(tokio::spawn(async move { client.force_reconnection().await }));
                }
            }
            Err(error) if error.is_unanswered() => {}
            _ => {
                *self.link.answered.lock() = Some(Instant::now());
                *self.link.silent_since.lock() = None;
            }
        }
        answer
    }
}

impl Link {
    /// Returns how long the server has been silent, of which the command that was sent at this time is a sign.
    fn silence(&self, sent: Instant) -> Duration {
        self.silent_since.lock().get_or_insert(sent).elapsed()
    }

    fn note(&self) {
        *self.since.lock() = Some(Instant::now());
        *self.silent_since.lock() = None;
        self.made.fetch_add(1, Ordering::AcqRel);
    }
}
