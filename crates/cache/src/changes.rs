//! The changes that a process knows from the journal, and whether a value includes them. Pure: the journal is read elsewhere.
//!
//! A value in Redis names what its load is known to include ([`Includes`]). It is served only if it includes every change
//! of its key that is known here, however it came to be in this Redis: restored from a backup, written under a lease that
//! was restored, on the losing side of a split. So the journal, not Redis, decides which values are too old.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;

/// Changes kept at most, each of one key. Beyond, the older half is forgotten, and values that are older than these count
/// as outdated.
const MAX_KEPT: usize = 200_000;

/// A committed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its number, above 0. Later entries have higher numbers, and no number is used twice.
    pub seq: i64,
    /// Identifies the commit, as in [`Cache::before_commit`](crate::Cache::before_commit).
    pub commit: Uuid,
    /// The keys that it has changed, without prefix.
    pub keys: Vec<String>,
    /// How long ago it was added, by the clock of the journal.
    pub age: Duration,
}

/// Short name of a commit: the random half of its UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CommitId(u64);

impl CommitId {
    pub(crate) fn of(commit: Uuid) -> Self {
        Self(commit.as_u64_pair().1)
    }

    pub(crate) fn to_hex(self) -> String {
        format!("{:016x}", self.0)
    }

    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        u64::from_str_radix(hex, 16).ok().map(Self)
    }
}

/// Which changes a load is known to include: they were committed before it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Includes {
    /// All up to this number of the journal.
    pub(crate) seq: i64,
    /// Later ones that Redis had been notified of when it granted the lease.
    pub(crate) commits: Vec<CommitId>,
    /// Generations of its groups under which it ran, as the scripts write them.
    pub(crate) generations: String,
}

#[derive(Clone, Copy)]
struct Change {
    seq: i64,
    commit: CommitId,
}

/// Changes by key.
#[derive(Default)]
pub(crate) struct Changes {
    /// In the order of the journal.
    by_key: HashMap<Arc<str>, Vec<Change>>,
    kept: usize,
    max_kept: usize,
    /// Age from which a commit is settled.
    settling: Duration,
    /// Changes up to this number were forgotten.
    forgotten: i64,
    /// Everything up to this number is known.
    settled: i64,
    /// Later ones that are known.
    unsettled: HashSet<i64>,
}

impl Changes {
    pub(crate) fn new(settling: Duration) -> Self {
        Self { max_kept: MAX_KEPT, settling, ..Self::default() }
    }

    /// Number up to which everything is known: what is loaded from now on includes it.
    pub(crate) fn settled(&self) -> i64 {
        self.settled
    }

    /// Adds entries of the journal; returns the keys of those that are new, without prefix.
    pub(crate) fn learn(&mut self, entries: Vec<JournalEntry>) -> Vec<String> {
        let settled = entries.iter().filter(|entry| entry.age >= self.settling).map(|entry| entry.seq).max();
        let mut changed = Vec::new();
        for entry in entries {
            if entry.seq <= self.settled || !self.unsettled.insert(entry.seq) {
                continue;
            }
            let change = Change { seq: entry.seq, commit: CommitId::of(entry.commit) };
            for key in entry.keys {
                self.add(&key, change);
                changed.push(key);
            }
        }
        self.settled = settled.unwrap_or(0).max(self.settled);
        self.unsettled.retain(|seq| *seq > self.settled);
        if self.kept > self.max_kept {
            self.forget_older_half();
        }
        changed
    }

    fn add(&mut self, key: &str, change: Change) {
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.into(), Vec::with_capacity(1));
        }
        let Some(changes) = self.by_key.get_mut(key) else { return };
        let at = changes.partition_point(|earlier| earlier.seq < change.seq);
        changes.insert(at, change);
        self.kept += 1;
    }

    fn forget_older_half(&mut self) {
        let mut numbers: Vec<i64> = self.by_key.values().flatten().map(|change| change.seq).collect();
        let middle = numbers.len() / 2;
        let (_, forgotten, _) = numbers.select_nth_unstable(middle);
        self.forgotten = *forgotten;
        self.by_key.retain(|_, changes| {
            changes.retain(|change| change.seq > self.forgotten);
            changes.shrink_to_fit();
            !changes.is_empty()
        });
        self.kept = self.by_key.values().map(Vec::len).sum();
    }

    /// Returns whether a value includes every change of its key, which has no prefix.
    pub(crate) fn are_in(&self, includes: &Includes, key: &str) -> bool {
        let later = |changes: &Vec<Change>| {
            let mut later = changes.iter().rev().take_while(|change| change.seq > includes.seq);
            later.all(|change| includes.commits.contains(&change.commit))
        };
        includes.seq >= self.forgotten && self.by_key.get(key).is_none_or(later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "exam:1";
    const SETTLED: Duration = Duration::from_secs(15);

    fn entry(seq: u8, age: u64) -> JournalEntry {
        let commit = Uuid::from_u64_pair(1, seq.into());
        JournalEntry { seq: seq.into(), commit, keys: vec![KEY.into()], age: Duration::from_secs(age) }
    }

    fn includes(seq: i64, commits: &[u64]) -> Includes {
        Includes { seq, commits: commits.iter().copied().map(CommitId).collect(), ..Includes::default() }
    }

    #[test]
    fn value_without_a_later_change_is_outdated() {
        let mut changes = Changes::new(SETTLED);
        assert!(changes.are_in(&includes(0, &[]), KEY), "nothing is known");
        changes.learn(vec![entry(3, 60), entry(5, 1)]);
        for (seq, commits, is_current) in [
            (0, &[][..], false),
            (0, &[3], false),
            (0, &[5], false),
            (0, &[3, 5], true),
            (3, &[], false),
            (3, &[5], true),
            (5, &[], true),
            (9, &[], true),
        ] {
            assert_eq!(changes.are_in(&includes(seq, commits), KEY), is_current, "{seq} {commits:?}");
        }
        assert!(changes.are_in(&includes(0, &[]), "exam:2"), "another key");
    }

    #[test]
    fn late_commit_is_learned_and_each_only_once() {
        let mut changes = Changes::new(SETTLED);
        assert_eq!(changes.learn(vec![entry(3, 60), entry(5, 1)]), [KEY, KEY]);
        assert_eq!(changes.settled(), 3, "number 4 may be in flight");
        assert_eq!(changes.learn(vec![entry(4, 2), entry(5, 2)]), [KEY], "it was");
        assert!(!changes.are_in(&includes(3, &[5]), KEY) && changes.are_in(&includes(3, &[4, 5]), KEY));
        assert_eq!(changes.learn(vec![entry(4, 16), entry(5, 16)]), Vec::<String>::new());
        assert_eq!(changes.settled(), 5);
        assert_eq!(changes.learn(Vec::new()), Vec::<String>::new());
        assert_eq!(changes.settled(), 5, "it never goes back");
    }

    #[test]
    fn forgotten_changes_make_older_values_outdated() {
        let mut changes = Changes { max_kept: 10, ..Changes::new(SETTLED) };
        changes.learn((1..=11).map(|seq| entry(seq, 60)).collect());
        assert_eq!((changes.kept, changes.forgotten), (5, 6));
        assert!(!changes.are_in(&includes(5, &[]), "exam:2"), "a change of it may be forgotten");
        assert!(changes.are_in(&includes(6, &[]), "exam:2"));
        assert!(changes.are_in(&includes(11, &[]), KEY) && !changes.are_in(&includes(10, &[]), KEY));
    }

    #[test]
    fn commit_ids_survive_their_text() {
        let id = CommitId::of(Uuid::from_u64_pair(1, u64::MAX - 7));
        assert_eq!(CommitId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(CommitId::from_hex("-"), None);
    }
}
