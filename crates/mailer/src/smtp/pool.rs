//! The connections to one server. Those that wait for a mail are used again, the last one first.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use examhall_delivery::ConnectionLeases;
use tokio::{task::JoinSet, time::timeout};

use super::{Fault, Kind, Limits, Phase, TransportOptions, lease::Lease, session::Session, url::Server};

/// How often connections that grew old while waiting are closed.
const SWEEP: Duration = Duration::from_secs(30);
/// The same where connections are few and other mailers may wait for them.
const QUICK_SWEEP: Duration = Duration::from_secs(1);
/// How long a mailer that vanished keeps its connections from the others.
const LEASE: Duration = Duration::from_secs(30);
/// How often a connection is asked for where all are taken.
const LEASE_WAIT: Duration = Duration::from_millis(50);

pub(super) struct Pool {
    server: Arc<Server>,
    limits: Limits,
    /// The connections that all mailers together may have open, where those are counted.
    leases: Option<ConnectionLeases>,
    idle: Mutex<Vec<Session>>,
}

impl Pool {
    pub(super) fn new(server: Arc<Server>, options: &TransportOptions) -> Self {
        let key = format!("mail:connections:{}", server.name());
        let leases = server.connections.map(|count| ConnectionLeases::new(options.redis.clone(), key, count, LEASE));
        Self { server, limits: options.limits, leases, idle: Mutex::default() }
    }

    /// Opens a connection, once one more may be open.
    pub(super) async fn open(&self) -> Result<Session, Fault> {
        let lease = self.lease().await;
        self.open_with(lease).await
    }

    /// As [`open`](Self::open), for who sends no mail: where all connections are in use, it does not wait for long.
    pub(super) async fn look_in(&self) -> Result<Session, Fault> {
        let busy = |_| Fault::new(Phase::Connect, Kind::Silence("all its connections are in use".to_owned()));
        let lease = timeout(self.limits.step, self.lease()).await.map_err(busy)?;
        self.open_with(lease).await
    }

    async fn lease(&self) -> Option<Lease> {
        let leases = self.leases.as_ref()?;
        loop {
            if let Some(lease) = Lease::take(leases, LEASE / 3).await {
                return Some(lease);
            }
            tokio::time::sleep(LEASE_WAIT).await;
        }
    }

    /// A server that is too busy to greet is asked once more.
    async fn open_with(&self, lease: Option<Lease>) -> Result<Session, Fault> {
        let mut session = match Session::open(&self.server, self.limits).await {
            Err(fault) if fault.is_busy_greeting() => Session::open(&self.server, self.limits).await?,
            opened => opened?,
        };
        session.lease = lease;
        Ok(session)
    }

    /// A connection that waits for a mail.
    pub(super) fn take(&self) -> Option<Session> {
        loop {
            let session = self.idle().pop()?;
            let may_be_open = session.lease.as_ref().is_none_or(Lease::is_kept);
            if may_be_open && session.is_reusable() {
                return Some(session);
            }
            session.close();
        }
    }

    /// Keeps a connection for the next mail; where its dialogue is not where it should be, it is closed by being dropped.
    pub(super) fn keep(&self, mut session: Session) {
        if session.is_reusable() {
            session.idle_since = Instant::now();
            self.idle().push(session);
        } else if session.in_step {
            session.close();
        }
    }

    /// How often [`close_old`](Self::close_old) is to be called.
    pub(super) fn sweep(&self) -> Duration {
        if self.leases.is_some() { QUICK_SWEEP } else { SWEEP }
    }

    pub(super) fn close_old(&self) {
        let is_old = |session: &Session| {
            !session.is_reusable() || (self.leases.is_some() && session.idle_since.elapsed() >= QUICK_SWEEP)
        };
        let old: Vec<_> = self.idle().extract_if(.., |session| is_old(session)).collect();
        old.into_iter().for_each(Session::close);
    }

    /// Closes the connections that wait for a mail, as servers like it.
    pub(super) async fn leave(&self) {
        let idle = std::mem::take(&mut *self.idle());
        idle.into_iter().map(Session::leave).collect::<JoinSet<()>>().join_all().await;
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use examhall_testkit::SmtpServer;

    use super::*;
    use crate::smtp::url::Endpoint;

    #[tokio::test]
    async fn a_connection_that_grew_old_is_left_and_not_used_again() {
        let smtp = SmtpServer::start().await;
        let Ok(Endpoint::Server(server)) = Endpoint::parse(&smtp.url()) else { panic!("it is a server") };
        let limits = Limits { step: Duration::from_secs(10), dot: Duration::from_secs(10) };
        let pool = Pool { server: Arc::new(server), limits, leases: None, idle: Mutex::default() };
        let aged = |mut session: Session, by: Duration| {
            session.opened_at = session.opened_at.checked_sub(by).expect("clocks go back so far");
            session
        };
        let young = pool.open().await.expect("opened");
        pool.keep(aged(young, Session::LONGEST_LIFE / 2));
        let session = pool.take().expect("young enough");
        pool.idle().push(aged(session, Session::LONGEST_LIFE / 2));
        assert!(pool.take().is_none(), "it has grown old while it waited");
        smtp.wait_for_command("QUIT").await;

        for old in [pool.open().await, pool.open().await] {
            pool.keep(aged(old.expect("opened"), Session::LONGEST_LIFE)); // grew old with its last mail
        }
        assert!(pool.idle().is_empty());
    }
}
