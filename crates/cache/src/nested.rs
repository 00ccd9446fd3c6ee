//! Loads whose loader reads the cache. Which loads wait for which is known, so that a load that waits for itself, directly
//! or through others, is an error at once instead of a wait for the time limit.
//!
//! A load is known by its task. What a loader spawns is another task: there the circle ends with the time limit of the
//! load.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

tokio::task_local! {
    /// The loads that this task runs: several if one loader loads several keys.
    static RUNNING: Arc<[LoadId]>;
}

/// For each load whose loader reads the cache: what it waits for.
static WAITS: Mutex<Waits> = Mutex::new(Waits(BTreeMap::new()));

/// A load in this process: its cache, and the name of its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LoadId {
    cache: CacheId,
    name: Arc<str>,
}

/// Tells the caches of a process apart: a loader of one may read the same key of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CacheId(u64);

impl CacheId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn load(self, name: &Arc<str>) -> LoadId {
        LoadId { cache: self, name: Arc::clone(name) }
    }
}

/// Runs a loader as the loader of these loads.
pub(crate) async fn run<T>(loads: Vec<LoadId>, loader: impl Future<Output = T>) -> T {
    RUNNING.scope(loads.into(), loader).await
}

/// Returns the loads that this task runs.
pub(crate) fn running() -> Option<Arc<[LoadId]>> {
    RUNNING.try_with(Arc::clone).ok()
}

/// The loads of this task wait for another one until this is dropped.
pub(crate) struct NestedWait {
    loads: Arc<[LoadId]>,
    awaited: LoadId,
}

impl NestedWait {
    /// Returns `None` if the awaited load is one of these, or waits for one of them.
    pub(crate) fn begin(loads: Arc<[LoadId]>, awaited: LoadId) -> Option<Self> {
        let mut waits = WAITS.lock();
        if waits.leads_to(&awaited, &loads) {
            return None;
        }
        for load in loads.iter() {
            waits.0.entry(load.clone()).or_default().push(awaited.clone());
        }
        Some(Self { loads, awaited })
    }
}

impl Drop for NestedWait {
    fn drop(&mut self) {
        let mut waits = WAITS.lock();
        for load in self.loads.iter() {
            waits.end(load, &self.awaited);
        }
    }
}

struct Waits(BTreeMap<LoadId, Vec<LoadId>>);

impl Waits {
    /// Returns whether a load is one of `goals`, or waits for one of them, through however many others.
    fn leads_to(&self, load: &LoadId, goals: &[LoadId]) -> bool {
        let (mut seen, mut due) = (vec![load], vec![load]);
        while let Some(load) = due.pop() {
            if goals.contains(load) {
                return true;
            }
            for next in self.0.get(load).into_iter().flatten() {
                if !seen.contains(&next) {
                    seen.push(next);
                    due.push(next);
                }
            }
        }
        false
    }

    fn end(&mut self, load: &LoadId, awaited: &LoadId) {
        let Some(of_load) = self.0.get_mut(load) else { return };
        if let Some(at) = of_load.iter().position(|waited_for| waited_for == awaited) {
            of_load.swap_remove(at);
        }
        if of_load.is_empty() {
            self.0.remove(load);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waits_that_close_a_circle_are_refused() {
        let (one, other) = (CacheId::next(), CacheId::next());
        let wait = |from: &str, cache: CacheId, to: &str| {
            let loads: Vec<_> = from.chars().map(|name| one.load(&name.to_string().into())).collect();
            NestedWait::begin(loads.into(), cache.load(&to.into()))
        };
        assert!(wait("a", one, "a").is_none(), "its own key");
        let mut waits = vec![wait("a", one, "b").expect("another key")];
        waits.push(wait("a", other, "a").expect("its key in another cache"));
        waits.push(wait("b", one, "c").expect("a chain"));
        waits.push(wait("b", one, "d").expect("two at once"));
        waits.push(wait("xy", one, "a").expect("one loader of two keys"));
        for (from, to) in [("b", "a"), ("c", "a"), ("d", "a"), ("a", "y"), ("d", "x"), ("qd", "x"), ("b", "b")] {
            assert!(wait(from, one, to).is_none(), "{from} must not wait for {to}");
        }
        waits.push(wait("c", one, "d").expect("no circle"));
        waits.clear();
        assert!(wait("b", one, "a").is_some(), "what has ended is not waited for");
        let of_this_test = |load: &LoadId| load.cache == one || load.cache == other;
        assert!(!WAITS.lock().0.keys().any(of_this_test), "nothing is left");
    }
}
