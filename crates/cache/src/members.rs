//! Groups of which this process's memory holds values: if one is invalidated, none of these is served any more.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// Counts the invalidations of each group in use.
#[derive(Default)]
pub(crate) struct Members(Mutex<HashMap<String, Weak<AtomicU64>>>);

/// A value's groups, with their counts when it was kept. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Membership(Arc<[(Arc<AtomicU64>, u64)]>);

impl Members {
    /// Joins the groups of these names; `None` if there are none.
    pub(crate) fn join(&self, groups: &[String]) -> Option<Membership> {
        if groups.is_empty() {
            return None;
        }
        let mut counts = self.0.lock();
        let joined = groups.iter().map(|group| {
            if let Some(count) = counts.get(group).and_then(Weak::upgrade) {
                return (Arc::clone(&count), count.load(Ordering::SeqCst));
            }
            if counts.len() == counts.capacity() {
                counts.retain(|_, count| count.strong_count() > 0);
            }
            let count = Arc::new(AtomicU64::new(0));
            counts.insert(group.clone(), Arc::downgrade(&count));
            (count, 0)
        });
        Some(Membership(joined.collect()))
    }

    /// Ends the membership of all that have joined this group so far.
    pub(crate) fn invalidate(&self, group: &str) {
        if let Some(count) = self.0.lock().get(group).and_then(Weak::upgrade) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Membership {
    /// Returns whether none of the groups was invalidated since.
    pub(crate) fn is_valid(&self) -> bool {
        self.0.iter().all(|(count, joined)| count.load(Ordering::SeqCst) == *joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_ends_what_has_joined_before() {
        let members = Members::default();
        let join = |groups: &[&str]| members.join(&groups.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(join(&[]).is_none());
        let joined = [&["a"][..], &["b"], &["a", "b"]].map(|groups| join(groups).expect("groups"));
        let valid = || [0, 1, 2].map(|n| joined[n].is_valid());
        members.invalidate("c");
        assert_eq!(valid(), [true; 3]);
        members.invalidate("b");
        assert_eq!(valid(), [true, false, false]);
        assert!(join(&["a", "b"]).is_some_and(|later| later.is_valid()), "it has joined afterwards");
        assert_eq!(valid(), [true, false, false], "what has ended stays so");
    }

    #[test]
    fn groups_out_of_use_leave_memory() {
        let members = Members::default();
        for n in 0..10_000 {
            assert!(members.join(&[format!("group {n}")]).is_some());
        }
        assert!(members.0.lock().len() < 100);
    }
}
