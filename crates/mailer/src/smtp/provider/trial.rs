//! Trial of a provider whose circuit is half-open: one mail at a time.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;

/// Since when a mail tries the provider out, if one does.
#[derive(Debug, Default)]
pub(super) struct Trial(Arc<Mutex<Option<Instant>>>);

/// Permit of the mail that tries the provider out, until dropped.
#[derive(Debug)]
pub(super) struct TrialPermit(Arc<Mutex<Option<Instant>>>);

impl Trial {
    /// Takes the permit.
    ///
    /// # Errors
    /// Returns since when another mail has it.
    pub(super) fn begin(&self) -> Result<TrialPermit, Instant> {
        match &mut *self.0.lock() {
            Some(since) => Err(*since),
            free => {
                *free = Some(Instant::now());
                Ok(TrialPermit(Arc::clone(&self.0)))
            }
        }
    }
}

impl Drop for TrialPermit {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}
