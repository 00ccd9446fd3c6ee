//! Trial of a provider whose circuit is half-open: one mail at a time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether a mail tries the provider out.
#[derive(Debug, Default)]
pub(super) struct Trial(Arc<AtomicBool>);

/// Permit of the mail that tries the provider out, until dropped.
#[derive(Debug)]
pub(super) struct TrialPermit(Arc<AtomicBool>);

impl Trial {
    /// Takes the permit; `None` if another mail has it.
    pub(super) fn begin(&self) -> Option<TrialPermit> {
        (!self.0.swap(true, Ordering::AcqRel)).then(|| TrialPermit(Arc::clone(&self.0)))
    }
}

impl Drop for TrialPermit {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
