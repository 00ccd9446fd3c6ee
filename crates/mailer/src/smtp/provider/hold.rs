//! A time in which a provider gets no mail, since a rate of it is used up.

use std::time::{Duration, Instant};

use tokio::{sync::watch, time::timeout};

/// Such a time, with its end.
pub(super) struct Hold(watch::Sender<Option<Instant>>);

impl Hold {
    pub(super) fn none() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Sets how long it lasts from now on; returns whether it begins. Mails to many recipients wait for longer than others,
    /// so it may become longer or shorter.
    pub(super) fn set(&self, wait: Duration) -> bool {
        let begins = self.left().is_none();
        self.0.send_replace(Some(Instant::now() + wait));
        begins
    }

    /// Returns how long it still lasts; `None` if it has ended.
    pub(super) fn left(&self) -> Option<Duration> {
        let until = *self.0.borrow();
        until.and_then(|until| until.checked_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Waits until it has ended, whenever that is set to be.
    pub(super) async fn ended(&self) {
        let mut changes = self.0.subscribe();
        while let Some(left) = self.left() {
            let _ = timeout(left, changes.changed()).await; // either is looked at
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hold_ends_when_it_was_set_to_last() {
        const LONG: Duration = Duration::from_mins(10);
        let (hold, short) = (Hold::none(), Duration::from_millis(20));
        hold.ended().await;
        for (first, last) in [(LONG, short), (short, 4 * short)] {
            assert!(hold.set(first), "it begins");
            let change = async {
                tokio::task::yield_now().await; // the other half waits already
                assert!(!hold.set(last), "it has begun");
            };
            tokio::time::timeout(LONG / 10, async { tokio::join!(hold.ended(), change) }).await.expect("it ends");
            assert_eq!(hold.left(), None);
        }
    }
}
