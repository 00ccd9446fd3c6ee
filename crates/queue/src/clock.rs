//! Times in milliseconds. BullMQ's timestamps are the clients', not the server's; here they are the server's as each client
//! knows it, so that a machine whose clock is wrong neither runs jobs early or late nor delays others'.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use examhall_redis::{Connection, Route};
use parking_lot::Mutex;

use crate::Error;

/// Up to this time, in September 2039, a double holds the scores of delayed jobs, `ms * 4096`, exactly.
pub(crate) const LAST_TIME: i64 = 1 << 41;

/// Age at which a reading is replaced.
const LIFE: Duration = Duration::from_secs(60);
/// Difference between two clocks that is more than the error of a reading: one of them is wrong, was set, or slept.
const JUMP: Duration = Duration::from_secs(1);

/// The server's clock: its last reading, and the time since by a clock that is never set. While it agrees with the system's,
/// the system's is used, which is exact and the one that other clients on this machine use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerClock(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    reading: Mutex<Option<Reading>>,
    is_being_read: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    server_ms: i64,
    read_at: Instant,
    system: SystemTime,
}

impl ServerClock {
    /// Returns the server's time in ms since 1970; the system's before the first reading.
    pub(crate) fn now_ms(&self) -> i64 {
        let reading = *self.0.reading.lock();
        let system = SystemTime::now();
        reading.map_or_else(|| system_ms(system), |reading| reading.now_ms(Instant::now(), system))
    }

    /// Asks the server of `key` for its time, if it was never asked, or in the background if that was long ago.
    ///
    /// # Errors
    /// Returns an error if the server is unavailable.
    pub(crate) async fn read(&self, connection: &Connection, key: &str) -> Result<(), Error> {
        let reading = *self.0.reading.lock();
        let Some(reading) = reading else { return self.ask(connection, key).await };
        if reading.is_stale(Instant::now(), SystemTime::now()) && !self.0.is_being_read.swap(true, Ordering::Relaxed) {
            let (clock, connection, key) = (self.clone(), connection.clone(), key.to_owned());
            tokio::spawn(async move {
                let _ = clock.ask(&connection, &key).await; // asked again with the next poll
                clock.0.is_being_read.store(false, Ordering::Relaxed);
            });
        }
        Ok(())
    }

    async fn ask(&self, connection: &Connection, key: &str) -> Result<(), Error> {
        let sent = Instant::now();
        match connection.time(Route::Key(key)).await {
            Ok(server_ms) => self.set(server_ms, sent),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "Redis does not tell its time: the system's clock counts");
                self.set(system_ms(SystemTime::now()), sent);
            }
        }
        Ok(())
    }

    /// Takes the time that the server returned between `sent` and now.
    pub(crate) fn set(&self, server_ms: i64, sent: Instant) {
        let read_at = sent + sent.elapsed() / 2;
        *self.0.reading.lock() = Some(Reading { server_ms, read_at, system: SystemTime::now() });
    }
}

impl Reading {
    fn now_ms(&self, now: Instant, system: SystemTime) -> i64 {
        let elapsed = now.saturating_duration_since(self.read_at);
        let (server, system) = (self.server_ms.saturating_add_unsigned(millis(elapsed)), system_ms(system));
        if server.abs_diff(system) > millis(JUMP) { server } else { system }
    }

    fn is_stale(&self, now: Instant, system: SystemTime) -> bool {
        let elapsed = now.saturating_duration_since(self.read_at);
        let by_system = system.duration_since(self.system).unwrap_or_default();
        elapsed > LIFE || by_system.abs_diff(elapsed) > JUMP
    }
}

fn system_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_the_servers_once_it_was_read() {
        let clock = ServerClock::default();
        let system = system_ms(SystemTime::now());
        assert!((0..60_000).contains(&(clock.now_ms() - system)));
        clock.set(1_000_000, Instant::now());
        assert!((1_000_000..1_060_000).contains(&clock.now_ms()));
    }

    #[test]
    fn system_clock_counts_while_it_agrees() {
        let (read_at, system) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1_000));
        let now_ms = |server_ms: i64, by_system: u64| {
            let reading = Reading { server_ms, read_at, system };
            reading.now_ms(read_at + Duration::from_secs(2), system + Duration::from_millis(by_system))
        };
        assert_eq!(now_ms(1_000_900, 2_000), 1_002_000, "they agree: the system's");
        assert_eq!(now_ms(1_300_000, 2_000), 1_302_000, "the system's is 5 minutes late");
        assert_eq!(now_ms(700_000, 2_000), 702_000, "it is 5 minutes early");
        assert_eq!(now_ms(1_000_000, 302_000), 1_002_000, "it was set forward since");
    }

    #[test]
    fn reading_is_stale_after_a_minute_or_a_jump() {
        let (read_at, system) = (Instant::now(), SystemTime::now());
        let reading = Reading { server_ms: 0, read_at, system };
        let second = Duration::from_secs(1);
        for (elapsed, by_system, expected) in
            [(0, 0, false), (59, 59, false), (61, 61, true), (5, 305, true), (5, 0, true)]
        {
            let (now, system) = (read_at + second * elapsed, system + second * by_system);
            assert_eq!(reading.is_stale(now, system), expected, "{elapsed} {by_system}");
        }
        assert!(reading.is_stale(read_at + 5 * second, system - 295 * second), "set back by five minutes");
    }
}
