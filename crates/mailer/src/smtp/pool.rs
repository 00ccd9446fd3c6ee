//! Connection pool of one server. Idle connections are used again, the most recent one first.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_delivery::ConnectionLeases;
use examhall_queue::Connection;
use parking_lot::Mutex;
use tokio::{task::JoinSet, time::timeout};

use super::{
    error::{ErrorKind, Phase, SmtpError},
    lease::Lease,
    session::{Session, Timeouts},
    url::Server,
};

/// Interval at which old idle connections are closed.
const SWEEP: Duration = Duration::from_secs(30);
/// The same if connections are limited and other mailers may wait for them.
const QUICK_SWEEP: Duration = Duration::from_secs(1);
/// Time after which connections of a mailer that vanished are free for the others.
const LEASE: Duration = Duration::from_secs(30);
/// Interval at which a lease is requested while all are taken.
const LEASE_RETRY: Duration = Duration::from_millis(50);

pub(super) struct Pool {
    server: Arc<Server>,
    pub(super) timeouts: Timeouts,
    /// Leases of the connections that all mailers together may have open, if those are limited.
    leases: Option<ConnectionLeases>,
    idle: Mutex<Vec<Session>>,
}

impl Pool {
    pub(super) fn new(server: Arc<Server>, timeouts: Timeouts, redis: &Connection) -> Self {
        let key = format!("mail:connections:{}", server.name());
        let leases = server.limits.connections.map(|count| ConnectionLeases::new(redis.clone(), key, count, LEASE));
        Self { server, timeouts, leases, idle: Mutex::default() }
    }

    /// Opens a connection, as soon as a lease is free.
    pub(super) async fn open(&self) -> Result<Session, SmtpError> {
        let lease = self.lease().await;
        self.open_with(lease).await
    }

    /// Opens a connection that sends no mail: it waits for a lease at most for the timeout of a step.
    pub(super) async fn open_for_probe(&self) -> Result<Session, SmtpError> {
        let busy = |_| SmtpError::new(Phase::Connect, ErrorKind::NoConnectionFree);
        let lease = timeout(self.timeouts.step, self.lease()).await.map_err(busy)?;
        self.open_with(lease).await
    }

    async fn lease(&self) -> Option<Lease> {
        let leases = self.leases.as_ref()?;
        loop {
            if let Some(lease) = Lease::acquire(leases, LEASE / 3).await {
                return Some(lease);
            }
            tokio::time::sleep(LEASE_RETRY).await;
        }
    }

    /// Opens a connection; retries once if the server is too busy to greet.
    async fn open_with(&self, lease: Option<Lease>) -> Result<Session, SmtpError> {
        let mut session = match Session::open(&self.server, self.timeouts).await {
            Err(error) if error.is_busy_greeting() => Session::open(&self.server, self.timeouts).await?,
            opened => opened?,
        };
        session.lease = lease;
        Ok(session)
    }

    /// Takes an idle connection.
    pub(super) fn take(&self) -> Option<Session> {
        loop {
            let session = self.idle.lock().pop()?;
            let may_be_open = session.lease.as_ref().is_none_or(Lease::is_held);
            if may_be_open && session.is_reusable() {
                return Some(session);
            }
            session.close();
        }
    }

    /// Puts a connection back for the next mail. If its dialogue is lost, it is dropped, which closes it.
    pub(super) fn put_back(&self, mut session: Session) {
        if session.is_reusable() {
            session.idle_since = Instant::now();
            self.idle.lock().push(session);
        } else if session.is_in_sync() {
            session.close();
        }
    }

    /// Interval at which [`close_old`](Self::close_old) is to be called.
    pub(super) fn sweep(&self) -> Duration {
        if self.leases.is_some() { QUICK_SWEEP } else { SWEEP }
    }

    pub(super) fn close_old(&self) {
        let is_old = |session: &Session| {
            !session.is_reusable() || (self.leases.is_some() && session.idle_since.elapsed() >= QUICK_SWEEP)
        };
        let old: Vec<_> = self.idle.lock().extract_if(.., |session| is_old(session)).collect();
        old.into_iter().for_each(Session::close);
    }

    /// Closes idle connections with QUIT.
    pub(super) async fn close_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        idle.into_iter().map(Session::quit).collect::<JoinSet<()>>().join_all().await;
    }
}

#[cfg(test)]
mod tests {
    use examhall_testkit::SmtpServer;

    use super::*;
    use crate::smtp::{ehlo_name::EhloName, url::Endpoint};

    #[tokio::test]
    async fn old_connection_is_closed_and_not_reused() {
        let smtp = SmtpServer::start().await;
        let Ok(Endpoint::Server(server)) = Endpoint::parse(&smtp.url(), &EhloName::Address) else {
            panic!("it is a server")
        };
        let timeouts = Timeouts { step: Duration::from_secs(10), end_of_data: Duration::from_secs(10) };
        let pool = Pool { server: Arc::new(server), timeouts, leases: None, idle: Mutex::default() };
        let aged = |mut session: Session, by: Duration| {
            session.opened_at = session.opened_at.checked_sub(by).expect("clocks go back that far");
            session
        };
        let young = pool.open().await.expect("opened");
        pool.put_back(aged(young, Session::LONGEST_LIFE / 2));
        let session = pool.take().expect("young enough");
        pool.idle.lock().push(aged(session, Session::LONGEST_LIFE / 2));
        assert!(pool.take().is_none(), "it grew old while idle");
        smtp.wait_for_command("QUIT").await;

        for old in [pool.open().await, pool.open().await] {
            pool.put_back(aged(old.expect("opened"), Session::LONGEST_LIFE)); // grew old with its last mail
        }
        assert!(pool.idle.lock().is_empty());
    }
}
